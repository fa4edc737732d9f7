"""HEAD: what GET would say, without saying it."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.api.listening import listening
from tests.support.api import HELLO, ROOT, Api
from tests.support.waiting import PATIENCE

VARYING = {"x-request-id", "ratelimit-remaining", "ratelimit-reset"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health/live", 200),
        ("/docs", 200),
        ("/metrics", 200),
        (f"{ROOT}/runs", 200),
        (f"{ROOT}/runs?limit=0", 400),
        (f"{ROOT}/runs/nope", 404),
        (f"{ROOT}/runs/bulk/none", 404),
        ("/nowhere", 404),
    ],
)
async def test_head_says_what_get_would_say(api: Api, path: str, status: int) -> None:
    got = await api.client.get(path)
    head = await api.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert got.status_code == status
    if path != "/metrics":  # which tells of the first request to whoever sends the second
        assert set(head.headers.items()) - set(got.headers.items()) <= {
            (name, value) for name, value in head.headers.items() if name in VARYING
        }


async def test_head_asks_for_the_same_rights_and_only_where_get_answers(api: Api) -> None:
    ran = await api.ran(HELLO)
    output = f"{ROOT}/runs/{ran['run']}/output"
    assert (await api.client.head(output, headers={"X-Role": "viewer"})).status_code == 403
    head = await api.client.head(output)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len((await api.client.get(output)).content))
    refused = await api.client.head(f"{ROOT}/runs/{ran['run']}/cancel")
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "OPTIONS, POST", b"")
    wrong = await api.client.put(output)
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS"
    figures = (await api.client.get("/metrics")).text
    assert 'method="HEAD"' in figures
    assert 'route="/api/v1/runs/{run}/output"' in figures


async def test_head_of_a_stream_is_over_at_once(api: Api) -> None:
    """While its run goes on; and it keeps no seat."""
    await api.register("workflow: long\ntasks:\n  rest: {sleep: 1h}\n")
    run = await api.start("long")
    async with asyncio.timeout(PATIENCE):
        head = await api.client.head(f"{ROOT}/runs/{run}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    async with listening(api.app, f"/runs/{run}/events") as stream:  # GET goes on
        assert (await stream.next()).name
