"""The client against the real application, over a network that loses answers, cuts streams and is told to wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import httpx2
import pytest

from headrace.api.client import ApiError, AsyncClient, Client, Retrying
from headrace.api.client.mirroring import mirrored
from headrace.api.client.models import End, Gap, Moved, TaskState
from headrace.api.client.wire import address, is_here
from tests.support.api import HELLO, Api, LiveApi

MANY = """\
workflow: many
tasks:
  rows: {shell: 'echo "[1, 2, 3, 4]"'}
  each: {shell: 'echo "row $N"; echo again', env: {N: "${{ n }}"}, map: {over: "${{ tasks.rows.output }}", as: n}}
"""
SOON = Retrying(times=4, first=0.001, most=0.002)


class Cut(httpx2.AsyncByteStream):
    """A body that breaks off after so many bytes."""

    def __init__(self, whole: bytes, bytes_: int) -> None:
        self._whole, self._bytes = whole, bytes_

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._whole[: self._bytes]
        raise httpx2.ReadError("the connection was lost")


class Network(httpx2.AsyncBaseTransport):
    """Carries requests to the application. `lose`: how many answers get lost once the application has done its work. `busy`: how many
    requests a proxy answers by itself. `cut`: after how many bytes each stream breaks off; `cuts`: the same of the next ones."""

    def __init__(
        self, api: Api, *, lose: int = 0, busy: int = 0, retry_after: str = "0", cut: int = 0
    ) -> None:
        self._app = httpx2.ASGITransport(app=api.app, raise_app_exceptions=False)  # type: ignore[arg-type]
        self.lose, self.busy, self.retry_after, self.cut = lose, busy, retry_after, cut
        self.cuts: list[int] = []
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.busy > 0:
            self.busy -= 1
            return httpx2.Response(503, headers={"Retry-After": self.retry_after}, text="busy")
        answer = await self._app.handle_async_request(request)
        if self.lose > 0:
            self.lose -= 1
            await answer.aread()
            raise httpx2.ReadError("the connection was lost")
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            cut = self.cuts.pop(0) if self.cuts else self.cut
            if cut:
                whole = await answer.aread()
                return httpx2.Response(answer.status_code, headers=answer.headers, stream=Cut(whole, cut))
        return answer


@pytest.fixture
async def ask(api: Api) -> AsyncIterator[Callable[..., tuple[AsyncClient, Network]]]:
    """Makes clients over networks with faults."""
    opened: list[AsyncClient] = []

    def made(**faults: object) -> tuple[AsyncClient, Network]:
        network = Network(api, **faults)  # type: ignore[arg-type]
        client = AsyncClient("http://localhost", transport=network, retrying=SOON)
        opened.append(client)
        return client, network

    yield made
    for client in opened:
        await client.aclose()


Ask = Callable[..., tuple[AsyncClient, Network]]


async def test_a_change_is_made_once_however_often_its_answer_is_lost(ask: Ask) -> None:
    client, network = ask(lose=2)
    await client.workflows.register(HELLO)
    network.lose, network.requests = 3, []
    run = await client.runs.trigger("hello", {"name": "once"})
    assert len(network.requests) == 4
    assert len({request.headers["Idempotency-Key"] for request in network.requests}) == 1
    assert [one.run async for one in client.runs.list()] == [run.run]
    ended = await client.runs.wait(run.run)
    assert (ended.state, ended.output) == ("succeeded", {"hello": "once"})


async def test_what_takes_no_key_is_sent_once(ask: Ask) -> None:
    client, network = ask(lose=1)
    with pytest.raises(ApiError) as lost:
        await client.runs.plan_bulk("cancel", {})
    assert lost.value.unanswered
    assert (lost.value.code, len(network.requests)) == ("unreachable", 1)


async def test_a_server_is_left_alone_for_as_long_as_it_says(ask: Ask) -> None:
    client, network = ask(busy=3)
    assert (await client.stats()).live == 0
    assert len(network.requests) == 4
    network.busy, network.requests, network.retry_after = 9, [], "0"
    with pytest.raises(ApiError) as busy:
        await client.stats()
    assert (busy.value.status, len(network.requests)) == (503, 1 + SOON.times)
    network.busy, network.requests, network.retry_after = 9, [], "3600"
    with pytest.raises(ApiError):
        await client.stats()
    assert len(network.requests) == 1


async def test_a_refusal_says_what_is_wrong_with_which_field(ask: Ask) -> None:
    client, network = ask()
    await client.workflows.register(HELLO)
    with pytest.raises(ApiError) as wrong:
        await client.runs.trigger("hello", {"nmae": "x", "name": 3})
    assert (wrong.value.status, wrong.value.code) == (422, "invalid_parameter")
    assert {problem["field"] for problem in wrong.value.problems} == {"params.nmae", "params.name"}
    assert wrong.value.request_id
    with pytest.raises(ApiError) as broken:
        await client.workflows.register("workflow: w\ntasks: {a: {noop: {}, depends_on: b}}")
    assert broken.value.problems[0]["code"] == "unknown_dependency"
    assert len(network.requests) == 3
    with pytest.raises(ApiError) as missing:
        await client.runs.get("../users")  # a name is one step of the path, whatever it holds
    assert (missing.value.status, missing.value.code) == (404, "not_found")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of a run that ended before it is followed are all there: nobody waits for more."""
    monkeypatch.setattr("headrace.api.live.logs.LINGER", 0.01)


@pytest.mark.parametrize("cut", [400, 700, 1500])
async def test_a_stream_that_is_cut_goes_on_where_it_was(api: Api, ask: Ask, hurried: None, cut: int) -> None:
    run = (await api.ran(MANY))["run"]
    whole, _ = ask()
    events = [event async for event in whole.runs.events(run)]
    lines = [line async for line in whole.runs.logs(run)]
    assert isinstance(events[-1], End)
    assert len(lines) == 9
    client, network = ask(cut=cut)
    again = [event async for event in client.runs.events(run)]
    assert again == events
    assert not any(isinstance(event, Gap) for event in again)
    assert len(network.requests) > 1
    told = [event for event in events if isinstance(event, Moved) and event.task == "each[3]"]
    assert [event.state for event in told][-1] == "succeeded"


async def test_a_stream_that_is_cut_before_its_first_event_keeps_its_place(
    api: Api, ask: Ask, hurried: None
) -> None:
    """And as often as that happens: a server that greets its client is there."""
    greeting = 30
    run = (await api.ran(MANY))["run"]
    client, network = ask()
    events = [event async for event in client.runs.events(run)]
    lines = [line async for line in client.runs.logs(run)]
    network.cuts = [700] + [greeting] * (2 * SOON.times)
    assert [event async for event in client.runs.events(run)] == events
    network.cuts = [700] + [greeting] * (2 * SOON.times)
    assert [line async for line in client.runs.logs(run)] == lines
    network.cuts = [greeting]
    assert [type(event) async for event in client.runs.events(run, after="now")] == [End]


async def test_pages_follow_each_other_until_there_is_enough(api: Api, ask: Ask) -> None:
    run = (await api.ran(MANY))["run"]
    client, network = ask()
    pages = client._connection.pages
    whole = [task async for task in pages(TaskState, "runs", run, "tasks", page=2)]
    assert [task.map_path for task in whole] == [[0], [1], [2], [3], []]
    assert len(network.requests) == 3
    some = [task async for task in pages(TaskState, "runs", run, "tasks", page=2, most=3)]
    assert some == whole[:3]
    assert [task.id async for task in client.tasks.list(run, state=["failed", "running"])] == []
    why = await client.tasks.why(run, "each[1]")
    assert (why.map_path, why.verdict) == ([1], "final")
    assert [line.text async for line in client.tasks.logs(run, "each[1]", 1)] == ["row 2", "again"]
    assert [one.state async for one in client.tasks.attempts(run, "each[1]")] == ["succeeded"]


async def test_the_end_of_a_log_costs_no_more_than_what_it_shows(
    api: Api, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "workflow: long\ntasks: {count: {shell: 'for n in 0 1 2 3 4 5 6; do echo $n; done'}}\n"
    run = (await api.ran(long))["run"]
    client, network = ask()
    monkeypatch.setattr("headrace.api.client.aio.tasks.LINES", 2)

    async def last(most: int) -> tuple[list[tuple[int, str]], int]:
        before = len(network.requests)
        lines = [(line.number, line.text) async for line in client.tasks.logs(run, "count", 1, last=most)]
        return lines, len(network.requests) - before

    whole = [(n, str(n)) for n in range(7)]
    assert await last(1) == (whole[6:], 1)
    assert await last(2) == (whole[5:], 1)
    assert await last(3) == (whole[4:], 3)  # in pages of two, once it is known where the end is
    assert await last(100) == (whole, 5)


async def test_what_is_steered_is_decided_when_the_call_returns(api: Api, ask: Ask) -> None:
    client, _ = ask()
    await client.workflows.register("workflow: slow\ntasks: {work: {sleep: 60s}}")
    run = (await client.runs.trigger("slow")).run
    with pytest.raises(TimeoutError):
        await client.runs.wait(run, timeout=0.01)
    assert (await client.runs.pause(run)).state == "paused"
    assert (await client.runs.resume(run)).state == "running"
    assert (await client.tasks.skip(run, "work", "not today")).decided
    assert (await client.runs.wait(run)).state == "succeeded"
    with pytest.raises(ApiError) as final:
        await client.runs.cancel(run)
    assert (final.value.status, final.value.code) == (409, "run_final")
    assert (await client.runs.rerun(run, ["work"])).generation == 2
    assert (await client.runs.kill(run, "enough")).state in ("cancelling", "cancelled")
    assert (await client.runs.wait(run)).state == "cancelled"
    async with aclosing(client.runs.events(run)) as events:
        assert isinstance(await anext(events), Moved)


def test_the_client_that_blocks_is_what_the_other_one_becomes() -> None:
    for path, text in mirrored():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name}: python -m headrace.api.client.mirroring"
        )


def test_over_a_socket_without_a_loop(live_api: LiveApi) -> None:
    with Client(live_api.address) as client:
        assert client.me().role == "admin"
        run = client.runs.trigger("hello", {"name": "you"}).run
        assert isinstance(list(client.runs.events(run))[-1], End)
        assert client.runs.output(run) == {"hello": "you"}
        assert [one.name for one in client.workflows.list()] == ["hello"]
        assert client.workflows.pause("hello").paused
        with pytest.raises(ApiError, match="paused"):
            client.runs.trigger("hello")
    with (
        Client("http://127.0.0.1:9", retrying=Retrying(times=0)) as nobody,
        pytest.raises(ApiError) as silent,
    ):
        nobody.me()
    assert (silent.value.status, silent.value.code) == (None, "unreachable")


def test_addresses() -> None:
    assert address("https://host/base/") == "https://host/base/api/v1"
    assert address("http://host:8000/api/v1") == "http://host:8000/api/v1"
    for wrong in ("host", "ftp://host", "https://", "https://user:word@host", "https://host/?project=x"):
        with pytest.raises(ValueError, match=r"address|password"):
            address(wrong)
    assert is_here("http://127.0.0.2:1")
    assert is_here("http://[::1]:1")
    assert not is_here("https://headrace.example")
