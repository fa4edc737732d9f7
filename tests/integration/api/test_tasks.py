"""Task runs over HTTP: how they stand and why, what they were given, wrote and made, and what is asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.home import Api, open_home

SALES = """
workflow: sales
params: {stores: {type: array, default: [1, 2, 3]}}
tasks:
  extract: {shell: 'echo "[$N, 2]" > "$HEADRACE_OUTPUT"; echo read; echo oops >&2', env: {N: "1"}}
  price:
    depends_on: [extract]
    map: {over: "${{ params.stores }}", as: store}
    shell: 'echo "{\\"store\\": $STORE}" > "$HEADRACE_OUTPUT"; echo pricing $STORE; test "$STORE" != 2'
    env: {STORE: "${{ store }}"}
    retry: {attempts: 2, delay: 10ms}
  publish: {depends_on: [price], shell: echo published}
  report: {depends_on: [publish], shell: echo, trigger_rule: all_done}
"""
WAITS = """
workflow: waits
tasks:
  hold: {sleep: 1h}
  after: {depends_on: [hold], shell: echo}
  besides: {noop: {}}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_home(tmp_path) as opened:
        await opened.registered(SALES)
        await opened.registered(WAITS)
        yield opened


async def ran(api: Api) -> str:
    run = await api.started("sales")
    await api.ended(run)
    return run


async def holding(api: Api) -> str:
    """A run that waits for an hour."""
    run = await api.started("waits")
    looks = 0
    while (await api.get(f"/runs/{run}/tasks/hold")).json()["state"] != "waiting":
        looks += 1
        assert looks < 10_000, "it never came to wait"
    return run


async def test_task_runs_are_listed_in_order_with_what_decided_them(api: Api) -> None:
    run = await ran(api)
    whole = (await api.get(f"/runs/{run}/tasks")).json()
    assert whole["next"] is None
    named = [(one["id"], one["map_index"], one["state"]) for one in whole["items"]]
    assert named == [
        ("extract", None, "succeeded"),
        ("price", 0, "succeeded"),
        ("price", 1, "failed"),
        ("price", 2, "succeeded"),
        ("publish", None, "upstream_failed"),
        ("report", None, "succeeded"),
    ]
    failed, publish, report = whole["items"][2], whole["items"][4], whole["items"][5]
    assert (failed["attempts"], failed["error"]["kind"], failed["verdict"]) == (2, "exit", "final")
    assert publish["upstream"] == [
        {"id": "price", "state": "failed", "counts": {"succeeded": 2, "failed": 1}, "satisfied": False}
    ]
    assert publish["blockers"][0]["message"] == "price is failed (2 succeeded, 1 failed)"
    assert (report["trigger_rule"], report["upstreams"]) == ("all_done", 1)

    paged, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/runs/{run}/tasks?limit=2{cursor and f'&cursor={cursor}'}")).json()
        assert len(page["items"]) <= 2
        paged += page["items"]
        cursor = page["next"]
    assert paged == whole["items"]
    some = (await api.get(f"/runs/{run}/tasks?state=failed&state=upstream_failed")).json()["items"]
    assert some == [failed, publish]
    assert (await api.get(f"/runs/{run}/why")).json()["items"] == [failed, publish]


async def test_a_waiting_run_tells_of_every_task_why(api: Api) -> None:
    run = await holding(api)
    waiting = (await api.get(f"/runs/{run}/why")).json()["items"]
    assert [(one["id"], one["verdict"], one["blockers"][0]["code"]) for one in waiting] == [
        ("after", "waiting", "upstream"),
        ("hold", "waiting", "timer"),
    ]
    why = (await api.get(f"/runs/{run}/tasks/after/why")).json()
    assert why["sentences"] == ["waits for hold, which is waiting"]
    assert {name: why[name] for name in waiting[0]} == waiting[0]


async def test_one_task_run_is_named_by_its_index(api: Api) -> None:
    run = await ran(api)
    item = (await api.get(f"/runs/{run}/tasks/price?index=1")).json()
    assert (item["map_path"], item["state"]) == ([1], "failed")
    assert (await api.get(f"/runs/{run}/tasks/price[1]")).json() == item
    head = (await api.get(f"/runs/{run}/tasks/price")).json()
    assert (head["map_index"], head["state"], head["blockers"][0]["code"]) == (None, "failed", "items_failed")
    for path, status, code in [
        ("/tasks/prise", 404, "not_found"),
        ("/tasks/price?index=3", 404, "not_found"),
        ("/tasks/price?index=1,1", 400, "index"),
        ("/tasks/extract?index=0", 400, "index"),
        ("/tasks?cursor=x", 400, "cursor"),
        ("/tasks?cursor=WyJub3BlIiwwXQ", 400, "cursor"),
    ]:
        answer = await api.get(f"/runs/{run}{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert "Did you mean" in (await api.get(f"/runs/{run}/tasks/prise")).json()["detail"]


async def test_items_of_maps_within_maps(api: Api) -> None:
    await api.registered(
        """
workflow: films
tasks:
  each:
    map: {over: [[7, 8], []], as: film}
    tasks:
      encode:
        map: {over: "${{ film }}", as: part}
        shell: 'test "$PART" != 8'
        env: {PART: "${{ part }}"}
        retry: {attempts: 1}
      join: {shell: echo, depends_on: [encode], trigger_rule: all_done}
"""
    )
    run = await api.started("films")
    await api.ended(run)
    listed = (await api.get(f"/runs/{run}/tasks")).json()["items"]
    states = {(one["id"], *one["map_path"]): one["state"] for one in listed}
    assert states == {
        ("each.encode", 0, 0): "succeeded",
        ("each.encode", 0, 1): "failed",
        ("each.encode", 1): "skipped",
        ("each.join", 0): "succeeded",
        ("each.join", 1): "succeeded",
    }
    pages, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/runs/{run}/tasks?limit=1{cursor and f'&cursor={cursor}'}")).json()
        pages += page["items"]
        cursor = page["next"]
    assert pages == listed
    one = (await api.get(f"/runs/{run}/tasks/each.encode?index=0,1")).json()
    assert (one["state"], one["map_index"], one["error"]["kind"]) == ("failed", 1, "exit")
    assert (await api.get(f"/runs/{run}/tasks/each.encode[0,1]")).json() == one
    assert (await api.get(f"/runs/{run}/tasks/each.encode?index=0")).json()["map_path"] == [0]
    unnamed = await api.get(f"/runs/{run}/tasks/each.join")
    assert (unnamed.status_code, "has 2 task runs" in unnamed.json()["detail"]) == (400, True)
    nodes = {node["id"]: node for node in (await api.get(f"/runs/{run}/graph")).json()["nodes"]}
    assert (nodes["each.encode"]["state"], nodes["each.encode"]["counts"]) == (
        None,
        {"succeeded": 1, "failed": 1, "skipped": 1},
    )
    assert sum(nodes["each"]["counts"].values()) == 5


async def test_of_many_upstreams_a_list_tells_those_that_matter(api: Api) -> None:
    ups = [f"u{number:02}" for number in range(30)]
    text = "".join(
        f"  {up}: {{shell: 'test {number} -lt 28', retry: {{attempts: 1}}}}\n"
        for number, up in enumerate(ups)
    )
    await api.registered(
        f"workflow: many\ntasks:\n{text}  z: {{shell: echo, depends_on: [{', '.join(ups)}]}}\n"
    )
    run = await api.started("many")
    await api.ended(run)
    (z,) = (await api.get(f"/runs/{run}/tasks?state=upstream_failed")).json()["items"]
    assert (z["upstreams"], len(z["upstream"])) == (30, 20)
    assert {one["id"] for one in z["upstream"] if one["state"] == "failed"} == {"u28", "u29"}
    assert [one["evidence"]["id"] for one in z["blockers"]] == ["u28", "u29"]
    whole = (await api.get(f"/runs/{run}/tasks/z")).json()
    assert [one["id"] for one in whole["upstream"]] == ups
    assert whole["blockers"] == z["blockers"]


async def test_graph_and_timeline(api: Api) -> None:
    run = await ran(api)
    graph = (await api.get(f"/runs/{run}/graph")).json()
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert (nodes["price"]["state"], nodes["price"]["counts"]) == ("failed", {"succeeded": 2, "failed": 1})
    assert nodes["publish"]["state"] == "upstream_failed"
    names = [node["id"] for node in graph["nodes"]]
    assert {(names[a], names[b]) for a, b in graph["edges"]} == {
        ("extract", "price"),
        ("price", "publish"),
        ("publish", "report"),
    }
    for format, kind, word in [
        ("mermaid", "text/plain", "flowchart"),
        ("dot", "text/vnd.graphviz", "digraph"),
        ("svg", "image/svg+xml", "<svg"),
    ]:
        drawn = await api.get(f"/runs/{run}/graph?format={format}")
        assert drawn.headers["content-type"].startswith(kind)
        assert drawn.text.startswith(word)

    bars = {
        (bar["id"], bar["map_index"]): bar for bar in (await api.get(f"/runs/{run}/timeline")).json()["items"]
    }
    tried = bars["price", 1]["attempts"]
    assert [(one["attempt"], one["state"], one["worker"]) for one in tried] == [
        (1, "failed", "embedded"),
        (2, "failed", "embedded"),
    ]
    for one in tried:
        assert one["dispatched_at"] <= one["started_at"] <= one["finished_at"]
    assert bars["publish", None]["attempts"] == []
    assert bars["extract", None]["ready_at"] <= bars["extract", None]["started_at"]
    attempts = (await api.get(f"/runs/{run}/tasks/price/attempts?index=1&limit=1")).json()
    assert attempts["items"] == tried[:1]
    rest = await api.get(f"/runs/{run}/tasks/price/attempts?index=1&cursor={attempts['next']}")
    assert rest.json() == {"items": tried[1:], "next": None}


async def test_what_a_task_run_was_given_wrote_and_made(api: Api) -> None:
    run = await ran(api)
    path = f"/runs/{run}/tasks"
    assert (await api.get(f"{path}/price/inputs?index=0")).json()["value"]["env"] == {"STORE": 1}
    assert (await api.get(f"{path}/extract/output")).json() == [1, 2]
    assert (await api.get(f"{path}/price/output?index=2")).json() == {"store": 3}
    log = (await api.get(f"{path}/extract/attempts/1/logs")).json()
    assert {(line["stream"], line["text"]) for line in log["items"]} == {
        ("stdout", "read"),
        ("stderr", "oops"),
    }
    one = (await api.get(f"{path}/extract/attempts/1/logs?limit=1")).json()
    assert (one["items"], one["next"], one["more"]) == (log["items"][:1], 1, True)
    two = (await api.get(f"{path}/extract/attempts/1/logs?limit=1&after=1")).json()
    assert (two["items"], two["next"], two["more"]) == (log["items"][1:], 2, False)
    for more in ("", "&after=1&limit=1", "&after=5"):
        end = (await api.get(f"{path}/extract/attempts/1/logs?last=1{more}")).json()
        assert end == two
    assert (await api.get(f"{path}/extract/attempts/1/logs?last=3")).json() == log
    assert (await api.get(f"{path}/extract/attempts/1/logs?last=0")).status_code == 400
    for part in ("extract/inputs", "extract/output", "extract/attempts/1/logs"):
        assert (await api.get(f"{path}/{part}", role="viewer")).status_code == 403
    assert (await api.get(f"{path}/publish/inputs")).json()["code"] == "no_inputs"
    assert (await api.get(f"{path}/extract/attempts/1/logs?generation=2")).status_code == 404


async def test_large_outputs_are_given_out_by_their_digest_and_only_by_their_own_run(
    api: Api, tmp_path: Path
) -> None:
    await api.registered(
        "workflow: large\ntasks: {make: {shell: \"head -c 700000 /dev/zero | tr '\\\\0' x | sed 's/.*/\\\"&\\\"/' > $HEADRACE_OUTPUT\"}}"
    )
    run = await api.started("large")
    assert (await api.ended(run))["state"] == "succeeded"
    (kept,) = (await api.get(f"/runs/{run}/artifacts")).json()["items"]
    assert (kept["task"], kept["size"]) == ("make", 700_002)
    given = await api.get(f"/runs/{run}/artifacts/{kept['name']}")
    assert given.content == b'"' + b"x" * 700_000 + b'"'
    assert given.headers["content-disposition"] == f'attachment; filename="{kept["name"]}"'
    assert given.headers["x-content-type-options"] == "nosniff"
    assert (await api.get(f"/runs/{run}/tasks/make/output")).content == given.content
    other = await ran(api)
    for path in (
        f"/runs/{other}/artifacts/{kept['name']}",
        f"/runs/{run}/artifacts/..%2F..%2Fheadrace.db",
        f"/runs/{run}/artifacts/{kept['name'][:10]}",
    ):
        assert (await api.get(path)).status_code == 404
    assert (await api.get(f"/runs/{run}/artifacts", project="other")).status_code == 404
    await asyncio.to_thread(spoil, tmp_path, kept["name"])
    gone = await api.get(f"/runs/{run}/artifacts/{kept['name']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "output_missing")


def spoil(home: Path, name: str) -> None:
    """Other bytes of the same length in place of the artifact's."""
    (file,) = (file for file in home.rglob(name) if file.is_file())
    file.write_bytes(b"y" * file.stat().st_size)


async def test_a_task_run_is_counted_as_succeeded_once_and_a_refusal_is_told(api: Api) -> None:
    run = await holding(api)
    path = f"/runs/{run}/tasks/hold/succeed"
    body: dict[str, Any] = {"reason": "it is late", "output": {"n": 7}}
    done = await api.post(f"{path}?wait=10s", body, key="k", role="operator")
    assert (done.status_code, done.json()) == (
        202,
        {"run": run, "task": "hold", "action": "succeed", "decided": True},
    )
    ended = await api.ended(run)
    assert ended["state"] == "succeeded"
    assert (await api.get(f"/runs/{run}/tasks/hold/output")).json() == {"n": 7}
    again = await api.post(f"{path}?wait=10s", body, key="k", role="operator")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    other = await api.post(f"{path}?wait=10s", {"reason": "another"}, key="k", role="operator")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    final = await api.post(path, body)
    assert (final.status_code, final.json()["code"]) == (409, "run_final")
    assert [line for line in await api.audited() if line[1] == "task.succeed"] == [
        ("user:ada", "task.succeed", f"task hold of run {run}")
    ]

    held = await holding(api)
    refused = await api.post(f"/runs/{held}/tasks/after/retry?wait=10s")
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert "only one that waits for its next attempt or poll can be retried" in refused.json()["detail"]
    assert (await api.post(f"/runs/{held}/tasks/after/skip", role="viewer")).status_code == 403
    assert (await api.post(f"/runs/{held}/tasks/after/skip", {"resaon": "x"})).status_code == 422
    assert (await api.post(f"/runs/{held}/tasks/nope/skip")).status_code == 404
    both = await asyncio.gather(
        *(api.post(f"/runs/{held}/tasks/after/skip?wait=10s") for _ in range(2)),
    )
    assert sorted(answer.status_code for answer in both) == [
        202,
        409,
    ]  # the same asker: each is told of its own
    cancelled = await api.post(f"/runs/{held}/tasks/hold/cancel?wait=10s", {"reason": "enough"})
    assert cancelled.json()["decided"]
    assert (await api.ended(held))["state"] in ("cancelled", "failed", "succeeded")
    state = (await api.get(f"/runs/{held}/tasks/hold")).json()["state"]
    assert state == "cancelled"
