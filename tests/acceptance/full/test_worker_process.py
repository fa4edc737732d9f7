"""`headrace worker` as a process on a real Kafka: W1 to W9 from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.full.workplace import Workplace, names_sharing_an_inbox, opened, stopped
from tests.support.office import key_of, python, report_key, shell
from tests.support.servers import Servers
from tests.support.waiting import alive, eventually, gone_meanwhile

TASKS = """
import os, time
from pathlib import Path
def noop(): pass
def who(): return os.getpid()
def until(path):
    while not os.path.exists(path): time.sleep(0.01)
    return "done"
def count(path):
    with open(path, "a") as file: file.write("x")
"""


@pytest.fixture
async def place(lab: Servers, tmp_path: Path) -> AsyncIterator[Workplace]:
    async with opened(tmp_path, lab.kafka, lab.kafka_prefix()) as workplace:
        workplace.write("tasks.py", TASKS)
        yield workplace


async def test_it_says_who_it_is_and_executes(place: Workplace) -> None:
    worker, beat = await place.hire(
        "one", "--queues", "default,gpu", "--concurrency", "3", "--labels", "zone=eu,disk=ssd"
    )
    assert (beat.queues, beat.slots, beat.labels) == (["default", "gpu"], 3, {"zone": "eu", "disk": "ssd"})
    assert {"python", "shell", "http"} <= set(beat.kinds)
    assert "container" not in beat.kinds
    office = place.office
    sent = [office.make(python("tasks:who")) for _ in range(50)]
    office.send(*sent[:30])
    office.send(*sent[30:], queue="gpu", part=1)
    reports = await office.hear(50)
    assert sorted(map(report_key, reports)) == sorted(map(key_of, sent))
    assert {(report.kind, report.output) for report in reports} == {
        ("succeeded", str(worker.process.pid).encode())
    }
    assert "Worker one: queues default, gpu; 3 slots; labels zone=eu, disk=ssd" in worker.said
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert "takes nothing more: 0 tasks running" in worker.said


async def test_two_workers_of_one_inbox_take_what_is_theirs(place: Workplace) -> None:
    first, second = islice(names_sharing_an_inbox(4), 2)
    one, _ = await place.hire(first)
    two, beat = await place.hire(second)
    assert beat.inbox == place.office.inbox == 0
    office = place.office
    mine = [office.make(python("tasks:who")) for _ in range(40)]
    for number, dispatch in enumerate(mine):
        office.send(dispatch, to=(first, second)[number % 2])
    reports = {report_key(report): report for report in await office.hear(40)}
    pids = [reports[key_of(dispatch)].output for dispatch in mine]
    assert pids == [str(one.process.pid).encode(), str(two.process.pid).encode()] * 20
    assert all(len(set(who)) == 1 for who in office.reporters.values())


async def test_killed_it_leaves_no_process_and_its_name_starts_again(
    place: Workplace, tmp_path: Path
) -> None:
    worker, before = await place.hire("one")
    office = place.office
    office.send(
        office.make(
            shell('sleep 1000 & echo $! $$ > "$PIDS"; wait'), {"env": {"PIDS": str(tmp_path / "pids")}}
        )
    )
    await office.hear(1, "started")
    await asyncio.to_thread(
        eventually, lambda: len(_pids(tmp_path / "pids")) == 2, "no process said its number"
    )
    pids = _pids(tmp_path / "pids")
    assert all(map(alive, pids))
    worker.signal(signal.SIGKILL)
    await worker.ended()
    assert await gone_meanwhile(*pids)
    _, after = await place.hire("one")
    assert (after.inbox, after.held) == (before.inbox, 0)
    assert after.incarnation != before.incarnation
    done = office.make(python("tasks:noop"))
    office.send(done)
    assert (await office.report_of(done)).kind == "succeeded"


async def test_a_name_that_is_alive_is_refused(place: Workplace) -> None:
    await place.hire("one")
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.cli.main", "worker", "--id", "one"),
        env={**os.environ, "HEADRACE_KAFKA": "127.0.0.1:1", "HEADRACE_HOME": str(place.folder / "home")},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await second.communicate()
    assert second.returncode == 3
    assert b"A worker one lives in" in said


async def test_a_name_that_lives_in_another_home_goes_to_the_one_that_starts_last(
    place: Workplace, tmp_path: Path
) -> None:
    """The first is told, stops what it runs, and ends; nothing is done twice."""
    office = place.office
    first, _ = await place.hire("one")
    office.send(office.make(python("tasks:until"), {"with": {"path": str(tmp_path / "never")}}))
    second, _ = await place.hire("one", HEADRACE_HOME=str(tmp_path / "elsewhere"))
    assert await first.ended() == 3
    assert "Another process has started as worker one" in first.said
    done = office.make(python("tasks:who"))
    office.send(done)
    assert (await office.report_of(done)).output == str(second.process.pid).encode()


async def test_sigterm_hands_back_what_waits_and_finishes_what_runs(place: Workplace, tmp_path: Path) -> None:
    worker, _ = await place.hire("one", "--concurrency", "1")
    office, go, ran = place.office, tmp_path / "go", tmp_path / "ran"
    running = office.make(python("tasks:until"), {"with": {"path": str(go)}})
    waiting = office.make(python("tasks:count"), {"with": {"path": str(ran)}})
    office.send(running)
    await office.hear(1, "started")
    office.send(waiting)
    office.ask(waiting)
    await office.hear_alive()
    worker.signal(signal.SIGTERM)
    while not (beat := await office.beat(of="one")).draining:
        pass
    assert beat.ahead == 0
    while report_key((await office.hear(1, "handed_back"))[0]) != key_of(waiting):
        pass
    go.touch()
    assert (await office.report_of(running)).output == b'"done"'
    assert await worker.ended() == 0
    assert not ran.exists()


async def test_a_second_sigterm_ends_the_grace(place: Workplace, tmp_path: Path) -> None:
    worker, _ = await place.hire("one", "--grace", "1000")
    office = place.office
    running = office.make(python("tasks:until"), {"with": {"path": str(tmp_path / "never")}})
    office.send(running)
    await office.hear(1, "started")
    worker.signal(signal.SIGTERM)
    while not (await office.beat(of="one")).draining:
        pass
    worker.signal(signal.SIGTERM)
    report = await office.report_of(running)
    assert (report.kind, report.error and report.error.reason) == ("failed", "lease_lost")
    assert await worker.ended() == 0


async def test_stopped_for_longer_than_its_lease_it_forgets_and_goes_on(
    place: Workplace, tmp_path: Path
) -> None:
    """faults 54, the worker's side: its late report is said once, and nothing of that attempt stays behind; the next
    attempt of the same task is executed as any other."""
    worker, _ = await place.hire("one")
    office, go = place.office, tmp_path / "go"
    late = office.make(python("tasks:until"), {"with": {"path": str(go)}})
    office.send(late)
    await office.hear(1, "started")
    with stopped(worker):
        office.abort(late)  # what an engine sends after a lost lease, and then the next attempt
        retried = office.make(python("tasks:who"), task=late.task, attempt=2)
        office.send(retried, epoch=2)
        go.touch()
    assert (await office.report_of(late)).kind in ("succeeded", "cancelled")
    assert (await office.report_of(retried)).output == str(worker.process.pid).encode()
    office.ask(epoch=2)
    assert (await office.hear_alive()).held == []
    assert [report.kind for report in office.reports if report_key(report) == key_of(late)].count(
        "started"
    ) == 1


async def test_the_settings_of_the_worker_are_not_the_tasks(place: Workplace) -> None:
    await place.hire(
        "one",
        HEADRACE_DATABASE_URL="postgresql://u:pw@nowhere/x",
        HEADRACE_REDIS_URL="redis://nowhere",
        HEADRACE_TOKEN="t0ken",
        HEADRACE_SECRET_KEY="hidden",
        OTHER="seen",
    )
    office = place.office
    place.write("look.py", "import os\ndef env(): return dict(os.environ)\n")
    for dispatch in (
        office.make(shell("python3 -c 'import json, os; print(json.dumps(dict(os.environ)))'")),
        office.make(python("look:env", isolation="process")),
    ):
        office.send(dispatch)
        output = (await office.report_of(dispatch)).output
        assert output is not None
        seen: dict[str, Any] = _json(output)
        assert seen["OTHER"] == "seen"
        ours = {name for name in seen if name.startswith("HEADRACE_")}
        assert not ours & {
            "HEADRACE_DATABASE_URL", "HEADRACE_KAFKA", "HEADRACE_KAFKA_PREFIX", "HEADRACE_REDIS_URL",
            "HEADRACE_TOKEN", "HEADRACE_SECRET_KEY", "HEADRACE_HOME",
        }  # fmt: skip


async def test_a_module_that_is_missing_is_named_with_worker_and_folders(place: Workplace) -> None:
    await place.hire("one")
    office = place.office
    dispatch = office.make(python("nowhere:run"))
    office.send(dispatch)
    error = (await office.report_of(dispatch)).error
    assert error is not None
    assert (error.reason, error.retryable) == ("not_found", False)
    assert '"nowhere"' in error.message
    assert "worker one" in error.message
    assert f"--app-dir {place.app}" in error.message


async def test_a_folder_named_by_a_message_is_not_followed(place: Workplace, tmp_path: Path) -> None:
    place.write("flows/flow.yaml", "workflow: flow\ntasks:\n  a: {shell: pwd}\n")
    await place.hire("one")
    office = place.office
    dispatch = office.make(shell("printf '\"%s\"' $PWD", folder=str(tmp_path)))
    office.send(dispatch)
    report = await office.report_of(dispatch)
    assert report.output == f'"{place.app / "flows"}"'.encode()


@pytest.mark.parametrize(
    ("arguments", "kafka", "status", "says"),
    [
        ([], "127.0.0.1:1", 3, "Kafka at 127.0.0.1:1 cannot be reached"),
        ([], "", 3, "HEADRACE_KAFKA names none"),
        (["--queues", "A B"], "127.0.0.1:1", 2, "'A' is no queue"),
        (["--labels", "zone"], "127.0.0.1:1", 2, "not written as name=value"),
        (["--app-dir", "nowhere"], "127.0.0.1:1", 2, "there is no folder nowhere"),
        (["--concurrency", "0"], "127.0.0.1:1", 2, "0 tasks at once are none"),
        (["--id", "../x"], "127.0.0.1:1", 2, "is no name"),
    ],
)
async def test_what_it_cannot_start_with_is_said_in_one_message(
    tmp_path: Path, arguments: list[str], kafka: str, status: int, says: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.cli.main", "worker", *arguments),
        env={**os.environ, "HEADRACE_KAFKA": kafka, "HEADRACE_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    text = said.decode()
    assert (process.returncode, says in text) == (status, True), text
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 2


def _pids(path: Path) -> list[int]:
    return [int(each) for each in path.read_text().split()] if path.exists() else []


def _json(data: bytes) -> Any:
    import json

    return json.loads(data)
