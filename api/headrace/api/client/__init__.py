"""A typed client of the HTTP API, in two kinds that are one source: `Client`, and `AsyncClient` that is awaited.

with Client("https://headrace.example", token) as client:
    run = client.runs.trigger("daily_sales", {"day": "2026-03-01"})
    print(client.runs.wait(run.run).state)
"""

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.api.client.sync.client import Client
from headrace.api.client.wire import Retrying

__all__ = ["ApiError", "AsyncClient", "Client", "Retrying"]
