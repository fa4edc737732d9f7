"""A run that is watched on a server, by a command that took too little of it for a while."""

from __future__ import annotations

from contextlib import aclosing

import httpx2

from headrace.api.client import AsyncClient
from headrace.api.shapes.runs import RunEntry
from headrace.cli.remote import RemoteStation

RUN = "0198c7d2-1f3a-7000-8000-000000000001"


def moved(seq: int) -> str:
    told = f'"run":"{RUN}","seq":{seq},"at":"2026-03-01T00:00:00Z","task":"t{seq}","before":"pending"'
    rest = '"state":"succeeded","reason":null,"attempt":1,"generation":1'
    return f"event: task\nid: {seq}.1\ndata: {{{told},{rest}}}\n\n"


END = f'event: end\nid: 9.end\ndata: {{"run":"{RUN}","state":"succeeded","reason":null}}\n\n'
GAP = 'event: gap\nid: 7\ndata: {"from":"2","to":"7","why":"slow"}\n\n'


def serve(request: httpx2.Request) -> httpx2.Response:
    """As a server whose tape has gone on after the second row."""
    after = int(request.headers.get("Last-Event-ID", "0").partition(".")[0])
    told = "".join(moved(seq) for seq in ((1, 2) if not after else range(after + 1, 10)))
    return httpx2.Response(
        200, headers={"Content-Type": "text/event-stream"}, text=told + (END if after else GAP + moved(8))
    )


async def test_what_was_left_out_for_a_slow_one_is_read_from_its_place() -> None:
    async with AsyncClient("http://localhost", transport=httpx2.MockTransport(serve)) as client:
        station = RemoteStation(client)
        station._from[RUN] = 1
        run = RunEntry(**(dict.fromkeys(RunEntry.__struct_fields__) | {"run": RUN}))
        async with aclosing(station.watch(run)) as changes:
            seen = [change.task async for change in changes]
    assert seen == [f"t{seq}" for seq in range(1, 10)]
