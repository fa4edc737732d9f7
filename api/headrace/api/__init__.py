"""The HTTP API. What a command line may import of it without Litestar says so in its first line."""
