"""The client that awaits. `sync` is made from it: python -m headrace.api.client.mirroring."""
