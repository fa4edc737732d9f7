"""The engine's shell: the asyncio process around the pure machine. It reads, commits and sends; it decides nothing."""
