"""What is typed beside a running cluster: every command that starts, steers and explains (A1, A2)."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.cli.main import main
from headrace.engine.ports.store import RunRow
from tests.support.api import LiveApi, serving
from tests.support.deployment import Deployment, opened
from tests.support.members import Done, Member
from tests.support.receiver import Receiver, receiver, traceparent
from tests.support.servers import Servers
from tests.support.topics import ask, found

__all__ = ["receiver"]

STEPS = """
workflow: steps
params: {go: {type: string}}
tasks:
  first: {python: bodies:until, with: {path: "${{ params.go }}"}}
  second: {python: bodies:note, with: {value: "${{ tasks.first.output }}"}}
finally:
  close: {python: bodies:note}
output: "${{ tasks.second.output }}"
"""
FAILING = """
workflow: failing
params: {go: {type: string}}
defaults: {retry: 1}
tasks:
  before: {python: bodies:note}
  work: {python: bodies:fail, with: {path: "${{ params.go }}"}, depends_on: before}
  after: {python: bodies:note, depends_on: work}
output: "${{ tasks.work.output }}"
"""
GPU = """
workflow: gpu
tasks:
  train: {python: bodies:note, queue: gpu}
  big: {python: bodies:note, labels: {disk: ssd}}
"""
FAR = """
workflow: far
params: {go: {type: string}}
tasks:
  say:
    shell: 'echo begun; while [ ! -e "$GO" ]; do sleep 0.02; done; echo over'
    env: {GO: "${{ params.go }}"}
  work: {python: bodies:fail, with: {path: "${{ params.go }}.again"}, depends_on: say, retry: 1}
  after: {noop: {}, depends_on: work}
"""
SLOW = """
workflow: slow
tasks:
  again: {python: bodies:fail, with: {path: /nowhere/at/all}, retry: {attempts: 2, delay: 1h, jitter: none}}
"""
HELD = """
workflow: held
params: {go: {type: string}}
tasks:
  hold: {python: bodies:until, with: {path: "${{ params.go }}"}, queue: gpu, labels: {disk: none}, retry: 1}
"""


@pytest.fixture(scope="module")
def cluster(
    lab: Servers, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> Iterator[Deployment]:
    """Two engines and a worker that show their figures, and whose attempts are traced."""
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    shown = ("--metrics", "127.0.0.1:0")
    folder = tmp_path_factory.mktemp("commands")
    with opened(lab, folder, queues=("default", "gpu"), settings=traced) as made:
        members = [made.engine(name, *shown) for name in ("e1", "e2")]
        members.append(made.worker("w1", *shown, slots=32))
        for member in members:
            member.ready()
        yield made


@pytest.fixture(scope="module")
def server(cluster: Deployment) -> Iterator[LiveApi]:
    """An API beside them."""
    ours = ("HEADRACE_", "OTEL_")
    settings = {name: value for name, value in cluster.environment.items() if name.startswith(ours)}
    with serving(cluster.folder, "api", "--no-auth", **settings) as made:
        yield made


def stepping(cluster: Deployment, tmp_path: Path) -> RunRow:
    """A run whose first task waits for `go`."""
    run = cluster.submit(cluster.plan(STEPS), go=str(tmp_path / "go"))
    cluster.until_state(run, "first", "running")
    return run


def test_a_workflow_is_registered_triggered_followed_and_explained(
    cluster: Deployment, tmp_path: Path
) -> None:
    file = cluster.write("flows/steps.yaml", STEPS)
    registered = cluster("register", str(file), "--json")
    assert registered.document["registered"][0]["workflow"] == "steps"
    (tmp_path / "go").touch()
    done = cluster("trigger", "steps", "-p", f"go={tmp_path / 'go'}", "--wait", "--timeout", "50s", "--json")
    assert done.status == 0, done.err
    run = done.document
    assert (run["state"], run["output"]) == ("succeeded", "done")
    assert cluster("runs", "show", run["run"], "--json").document == run
    assert run["run"] in [row["run"] for row in cluster("runs", "list", "--json").document["items"]]
    assert "succeeded; so did every task" in cluster("why", run["run"]).out
    assert cluster("replay", run["run"]).status == 0
    waited = cluster("runs", "wait", run["run"])
    assert waited.status == 0, waited.err


def test_what_a_task_says_is_read_beside_the_cluster(cluster: Deployment) -> None:
    made = cluster.plan("workflow: talks\ntasks: {say: {shell: 'echo what it says'}}\n")
    run = cluster.submit(made)
    cluster.wait(run)
    cluster.eventually(lambda: "what it says" in cluster("logs", run.id, "say").out, "its log never came")


def test_one_key_a_hundred_times_at_once_is_one_run(cluster: Deployment, tmp_path: Path) -> None:
    """faults 70, without HTTP: from processes and from connections."""
    file = cluster.write("flows/steps.yaml", STEPS)
    assert cluster("register", str(file)).status == 0
    go = tmp_path / "go"
    words = ("trigger", "steps", "-p", f"go={go}", "--key", "order-7", "--json")
    with ThreadPoolExecutor(4) as threads:
        typed = list(threads.map(lambda _: cluster(*words), range(8)))
    assert [done.status for done in typed] == [0] * 8
    [run] = {done.document["run"] for done in typed}
    plan = cluster.plan(STEPS)
    rows = cluster.submit_all([plan] * 92, key="order-7", values={"go": str(go)})
    assert {row.id for row in rows} == {run}
    kept = cluster.rows("SELECT id FROM runs WHERE key = 'order-7'")
    assert [row["id"] for row in kept] == [run]
    go.touch()
    cluster.wait(rows[0])
    assert sum(start.run == run and start.task == "first" for start in cluster.starts()) == 1


def test_pause_and_resume(cluster: Deployment, tmp_path: Path) -> None:
    run = stepping(cluster, tmp_path)
    paused = cluster("runs", "pause", run.id)
    assert (paused.status, "paused" in paused.err) == (0, True), paused.err
    (tmp_path / "go").touch()
    cluster.until_state(run, "first", "succeeded")
    why = cluster("why", run.id, "second", "--json").document
    assert "paused" in [blocker["code"] for blocker in why["blockers"]]
    assert cluster("runs", "resume", run.id).status == 0
    cluster.wait(run)
    assert cluster.state(run) == "succeeded"
    again = cluster("runs", "resume", run.id)
    assert again.status == 2
    assert "has ended: succeeded" in again.err


def test_cancel_stops_what_runs_and_runs_what_is_final(cluster: Deployment, tmp_path: Path) -> None:
    made = cluster.plan(
        "workflow: stopped\ntasks: {a: {shell: 'sleep 1000'}, b: {noop: {}, depends_on: a}}\n"
        "finally: {close: {python: bodies:note}}\n"
    )
    run = cluster.submit(made)
    cluster.until_state(run, "a", "running")
    cancelled = cluster("runs", "cancel", run.id, "--reason", "not today")
    assert cancelled.status == 0, cancelled.err
    cluster.wait(run)
    assert cluster.state(run) == "cancelled"
    assert cluster.states(run) == {"a": "cancelled", "b": "cancelled", "close": "succeeded"}


def test_kill_runs_nothing_more(cluster: Deployment, tmp_path: Path) -> None:
    run = stepping(cluster, tmp_path)
    assert cluster("runs", "kill", run.id).status == 0
    cluster.wait(run)
    assert cluster.state(run) == "cancelled"
    assert set(cluster.states(run).values()) == {"cancelled"}
    (tmp_path / "go").touch()


def test_rerun_goes_on_where_it_failed(cluster: Deployment, tmp_path: Path) -> None:
    run = cluster.submit(cluster.plan(FAILING), go=str(tmp_path / "go"))
    cluster.wait(run)
    assert cluster.states(run) == {"before": "succeeded", "work": "failed", "after": "upstream_failed"}
    (tmp_path / "go").touch()
    done = cluster("runs", "rerun", run.id, "--json")
    assert done.status == 0, done.err
    assert (done.document["state"], done.document["output"]) == ("succeeded", "at last")
    tries = [start.task for start in cluster.starts() if start.run == run.id]
    assert tries == ["before", "work", "work", "after"]


def test_trigger_and_rerun_are_followed_from_their_beginning(cluster: Deployment) -> None:
    """However fast the engines are; and a rerun with a new version by the graph of that."""
    text = "workflow: quick\ntasks: {one: {noop: {}}, two: {python: bodies:note, depends_on: one}}\n"
    assert cluster("register", str(cluster.write("flows/quick.yaml", text))).status == 0
    done = cluster("trigger", "quick", "--wait", "--timeout", "50s")
    assert done.status == 0, done.err
    assert all(f"✓ {task}" in done.err for task in ("one", "two")), done.err
    run = cluster("runs", "list", "--workflow", "quick", "--json").document["items"][0]["run"]
    mended = text.replace("two:", "added: {noop: {}}, two:")
    assert cluster("register", str(cluster.write("flows/quick.yaml", mended))).status == 0
    again = cluster("runs", "rerun", run, "--from", "two", "--version", "latest")
    assert again.status == 0, again.err
    assert all(f"✓ {task}" in again.err for task in ("added", "two")), again.err
    assert cluster("runs", "show", run, "--json").document["version"] == 2
    assert cluster("replay", run).status == 0


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("succeed", "--output", '"told"'), "succeeded"),
        (("skip",), "skipped"),
        (("cancel",), "cancelled"),
    ],
)
def test_a_task_is_decided_by_hand(
    cluster: Deployment, tmp_path: Path, words: tuple[str, ...], state: str
) -> None:
    run = stepping(cluster, tmp_path)
    done = cluster("tasks", words[0], run.id, "first", *words[1:], "--reason", "by hand")
    assert done.status == 0, done.err
    cluster.wait(run)
    assert cluster.states(run)["first"] == state
    if state == "succeeded":
        assert cluster.view(run).run.output == b'"told"'
    (tmp_path / "go").touch()
    cluster.agree(run)


def test_a_retry_that_waits_is_made_now(cluster: Deployment) -> None:
    run = cluster.submit(cluster.plan(SLOW))
    cluster.until_state(run, "again", "retrying")
    assert "attempt 1 of 2 failed" in cluster("why", run.id, "again").out
    assert cluster("tasks", "retry", run.id, "again").status == 0
    cluster.wait(run)
    [task] = cluster.view(run).tasks
    assert (task.state, task.attempts) == ("failed", 2)


def test_why_names_the_worker_that_is_missing(cluster: Deployment) -> None:
    run = cluster.submit(cluster.plan(GPU))
    cluster.eventually(
        lambda: "no worker listens on queue gpu" in cluster("why", run.id, "train").out,
        lambda: cluster("why", run.id).out,
    )
    why = cluster("why", run.id, "big").out
    assert "labels disk=ssd" in why, why
    cluster.worker("w2", "--queues", "gpu").ready()
    cluster.worker("w3", "--labels", "disk=ssd").ready()
    cluster.wait(run)
    rows = cluster.rows("SELECT worker FROM task_runs WHERE run = $1 ORDER BY task", run.no)
    order = {cluster.plan(GPU).index[name]: worker for name, worker in (("train", "w2"), ("big", "w3"))}
    assert [row["worker"] for row in rows] == [order[index] for index in sorted(order)]


def test_a_worker_leaves_when_it_is_asked_to(cluster: Deployment, tmp_path: Path) -> None:
    """W9 from outside: it takes nothing more, finishes what it holds, and ends well."""
    worker = cluster.worker("leaver", "--queues", "gpu", "--labels", "disk=none")
    worker.ready()
    run = cluster.submit(cluster.plan(HELD), go=str(tmp_path / "go"))
    cluster.until_state(run, "hold", "running")
    cluster.eventually(lambda: "leaver" in cluster("workers", "list").out, lambda: worker.said)
    done = cluster("workers", "drain", "leaver")
    assert (done.status, "asked to leave" in done.out) == (0, True), done.err
    cluster.eventually(
        lambda: "draining" in cluster("workers", "list", "--queue", "gpu").out, lambda: worker.said
    )
    late = cluster.submit(cluster.plan(HELD), go=str(tmp_path / "never"))
    cluster.eventually(
        lambda: "ready, but" in cluster("why", late.id, "hold").out, lambda: cluster("why", late.id).out
    )
    (tmp_path / "go").touch()
    assert worker.ended() == 0
    assert "asked to leave" in worker.said
    cluster.wait(run)
    assert cluster.states(run) == {"hold": "succeeded"}
    assert cluster("runs", "cancel", late.id).status == 0
    assert cluster("workers", "drain", "nobody").status == 2


def test_an_unknown_run_is_told(cluster: Deployment) -> None:
    for words in (("runs", "cancel", "0000ffff"), ("why", "0000ffff"), ("runs", "rerun", "0000ffff")):
        done = cluster(*words)
        assert (done.status, "Traceback" in done.err) == (2, False), done.err
        assert "0000ffff" in done.err


# -- from afar -----------------------------------------------------------------------------------------------------------

Typed = Callable[..., Done]


@pytest.fixture
def typed(
    cluster: Deployment,
    server: LiveApi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Typed:
    """Types a command in this process, which knows nothing of the cluster but the server; `here`: its database alone."""
    for name in list(os.environ):
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(cluster.folder)

    def type_(*words: str, here: bool = False) -> Done:
        capsys.readouterr()
        place = ("--database-url", cluster.url) if here else ("--server", server.address)
        return Done(main([*words, *place]), *capsys.readouterr())

    return type_


def test_a_cluster_is_asked_and_steered_through_its_server(
    cluster: Deployment, server: LiveApi, typed: Typed, tmp_path: Path
) -> None:
    """Every word of it over HTTP; what is printed is what the database's own commands print."""
    go = tmp_path / "go"
    assert typed("register", str(cluster.write("flows/far.yaml", FAR))).status == 0
    run = typed("trigger", "far", "-p", f"go={go}", "--json").document["run"]
    with cluster.beside("logs", run, "say", "-f", "--json", HEADRACE_SERVER=server.address) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["text"] == "begun"
        assert "say" in typed("why", run, "work").out
        assert typed("runs", "show", run, "--json").document["state"] == "running"
        assert "w1" in [worker["id"] for worker in typed("workers", "list", "--json").document["items"]]
        go.touch()
        rest, errors = following.communicate(timeout=60)
    assert (following.returncode, json.loads(rest)["text"]) == (0, "over"), errors
    assert typed("runs", "wait", run).status == 1
    for words in (
        ("runs", "show", run, "--json"),
        ("runs", "show", run, "--status"),
        ("why", run),
        ("why", run, "after", "--json"),
        ("logs", run),
        ("dlq", "list", "--workflow", "far", "--json"),
    ):
        assert typed(*words) == typed(*words, here=True), words
    Path(f"{go}.again").touch()
    again = typed("runs", "rerun", run)
    assert (again.status, "✓ work" in again.err, "say" in again.err) == (0, True, False), again.err
    assert typed("runs", "show", run, "--json").document["state"] == "succeeded"


def test_a_run_is_stopped_through_the_server(typed: Typed, cluster: Deployment, tmp_path: Path) -> None:
    assert typed("register", str(cluster.write("flows/far.yaml", FAR))).status == 0
    run = typed("trigger", "far", "-p", f"go={tmp_path / 'never'}", "--json").document["run"]
    assert "paused" in typed("runs", "pause", run).err
    assert "running" in typed("runs", "resume", run).err
    skipped = typed("tasks", "skip", run, "after", "--reason", "not needed")
    assert (skipped.status, "skipped" in skipped.err) == (0, True), skipped.err
    cancelled = typed("runs", "cancel", run, "--reason", "not today", "--json")
    assert cancelled.document["state"] in ("cancelling", "cancelled")
    assert typed("runs", "wait", run).status == 1
    states = {task["id"]: task["state"] for task in typed("runs", "show", run, "--json").document["tasks"]}
    assert states == {"say": "cancelled", "work": "cancelled", "after": "skipped"}
    refused = typed("runs", "cancel", run)
    assert (refused.status, "has ended: cancelled" in refused.err) == (2, True), refused.err


# -- being watched -------------------------------------------------------------------------------------------------------


def figures(*members: Member) -> Counter[str]:
    """What members show now, summed up over them and over all labels."""
    found: Counter[str] = Counter()
    for member in members:
        place = re.search(r"Metrics at (http://\S+)", member.said)
        assert place is not None, member.said
        with urlopen(place[1], timeout=60) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] += sample.value  # type: ignore[assignment]
    return found


def test_engines_and_workers_show_what_they_have_done(cluster: Deployment, tmp_path: Path) -> None:
    engines, worker = [cluster.member("e1"), cluster.member("e2")], cluster.member("w1")
    before, done = figures(*engines), figures(worker)
    assert before["headrace_parts_owned"] == 16
    assert before["headrace_worker_slots"] >= 2 * 32
    assert done["headrace_slots"] == 32
    run = cluster.submit(
        cluster.plan("workflow: both\ntasks: {a: {python: bodies:note}, b: {shell: 'true'}}")
    )
    cluster.wait(run)
    cluster.eventually(
        lambda: figures(worker)["headrace_attempts_ended_total"] == done["headrace_attempts_ended_total"] + 2
    )
    after = figures(*engines)
    for name, more in (
        ("headrace_runs_ended_total", 1),
        ("headrace_dispatched_total", 2),
        ("headrace_first_task_seconds_count", 1),
    ):
        assert after[name] - before[name] == more, name
    assert after["headrace_commit_seconds_count"] > before["headrace_commit_seconds_count"]
    assert after["headrace_loop_lag_seconds_count"] > 0


def test_one_trace_goes_from_whoever_asks_over_kafka_to_the_attempt(
    cluster: Deployment, server: LiveApi, receiver: Receiver
) -> None:
    """Over HTTP, where the request has a span of its own, and by a message."""
    asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    files = [
        str(
            cluster.write(
                f"flows/{name}.yaml", f"workflow: {name}\ntasks: {{work: {{python: bodies:note}}}}\n"
            )
        )
        for name in ("called", "written")
    ]
    assert cluster("register", *files).status == 0
    with server.client() as client:
        answer = client.post("/api/v1/workflows/called/runs", json={}, headers={"traceparent": asked})
        assert answer.status_code == 202, answer.text
    ask(cluster, {"workflow": "written"}, headers=[("traceparent", asked.encode())])
    called, written = receiver.span("called work"), receiver.span("written work")
    request = receiver.span("POST /api/v1/workflows/{name}/runs")
    assert {span.trace_id.hex() for span in (request, called, written)} == {asked[3:35]}
    assert (request.parent_span_id.hex(), written.parent_span_id.hex()) == (asked[36:52], asked[36:52])
    assert called.parent_span_id == request.span_id
    carried = ("traceparent", traceparent(request).encode())
    record = found(cluster, "job-tasks.default", lambda record: carried in record.headers)
    assert b'"called"' in record.value
