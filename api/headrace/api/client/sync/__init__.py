"""The client that blocks, made from `aio`: python -m headrace.api.client.mirroring."""
