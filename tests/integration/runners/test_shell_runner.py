"""`shell` tasks: real processes, their environment, output and end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import pack
from headrace.engine.ports.messages import Limits
from headrace.runners import shell_runner
from headrace.runners.processes import reap
from headrace.runners.warden import started_at
from tests.integration.runners.desk import Desk, job, shell
from tests.support.waiting import alive, appears, eventually, gone_meanwhile


def value(report: Any) -> Any:
    assert report.kind == "succeeded", report
    return None if report.output is None else json.loads(report.output)


def error(report: Any) -> Any:
    assert report.kind == "failed", report
    return report.error


def argv(*arguments: Any) -> tuple[Any, dict[str, Any]]:
    return job("shell", {"run": None, "interpreter": [], "cwd": None}), {"argv": list(arguments)}


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("true", None),
        ("echo 1; echo '{\"rows\": 3}'; echo; echo ' '", {"rows": 3}),
        ("printf '[1, 2]'", [1, 2]),
        ("echo not json", None),
        ("echo '{\"a\": NaN}'", None),
        ('echo \'"from the file"\' > "$HEADRACE_OUTPUT"; echo 1', "from the file"),
        ('touch "$HEADRACE_OUTPUT"; echo 1', 1),
        ("echo 2 >&2", None),
        ("head -c 2000000 /dev/zero | tr '\\0' 7", None),
    ],
)
async def test_the_output_is_the_file_or_the_last_line(desk: Desk, program: str, output: Any) -> None:
    assert value(await desk.run(shell(program))) == output


async def test_a_last_line_of_any_allowed_length_is_an_output(desk: Desk) -> None:
    """Above 32 KiB it travels by the artifact store, as any output."""
    program = f"{sys.executable} -c 'print([7] * 1_000_000)'"
    report = await desk.run(shell(program))
    assert report.kind == "succeeded", report
    assert report.artifact is not None
    stored = Artifact(report.artifact.uri, report.artifact.digest, report.artifact.size)
    assert json.loads(await desk.artifacts.get(stored)) == [7] * 1_000_000


async def test_a_last_line_above_the_limit_fails_and_says_what_to_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_runner, "LARGEST_OUTPUT", 100_000)
    problem = error(await desk.run(shell("head -c 200000 /dev/zero | tr '\\0' 7")))
    assert (problem.reason, problem.retryable) == ("invalid_output", False)
    for words in ("last line of stdout", "100000 bytes", "print where it is"):
        assert words in problem.message
    assert value(await desk.run(shell("head -c 200000 /dev/zero | tr '\\0' x"))) is None
    assert value(await desk.run(shell("head -c 200000 /dev/zero | tr '\\0' 7; echo; echo 1"))) == 1
    written = 'head -c 200000 /dev/zero | tr "\\0" 7; echo 2 > "$HEADRACE_OUTPUT"'
    assert value(await desk.run(shell(written))) == 2


@pytest.mark.parametrize(
    "program",
    [
        'echo "{" > "$HEADRACE_OUTPUT"',
        'printf "[1e999]" > "$HEADRACE_OUTPUT"',
        'mkfifo "$HEADRACE_OUTPUT"',
        'ln -s /etc/passwd "$HEADRACE_OUTPUT"',
        'truncate -s 300M "$HEADRACE_OUTPUT"',
        'python3 -c \'print("[" * 65 + "]" * 65)\' > "$HEADRACE_OUTPUT"',
    ],
)
async def test_a_bad_output_file_is_an_invalid_output(desk: Desk, program: str) -> None:
    """faults 60, 71."""
    problem = error(await desk.run(shell(program)))
    assert (problem.reason, problem.retryable) == ("invalid_output", False)


@pytest.mark.parametrize(
    ("program", "code", "reason", "retryable", "words"),
    [
        ("echo bad disk >&2; exit 3", 3, None, True, "exit status 3: bad disk"),
        ("false | cat", 1, None, True, "exit status 1"),
        ("no_such_command_here", 127, "not_found", False, "not found"),
        ("/etc/passwd", 126, "not_found", False, "exit status 126"),
        ("kill -9 $$", 137, None, True, "killed by SIGKILL"),
    ],
)
async def test_exit_statuses(
    desk: Desk, program: str, code: int, reason: str | None, retryable: bool, words: str
) -> None:
    problem = error(await desk.run(shell(program)))
    assert (problem.kind, problem.exit_code, problem.reason, problem.retryable) == (
        "exit",
        code,
        reason,
        retryable,
    )
    assert words in problem.message


async def test_exit_99_skips(desk: Desk) -> None:
    report = await desk.run(shell("echo nothing to do >&2; exit 99"))
    assert (report.kind, report.error and report.error.message) == ("skipped", "nothing to do")


async def test_argv_is_data_and_never_a_program(desk: Desk) -> None:
    task, inputs = argv(
        sys.executable,
        "-c",
        "import json, sys; print(json.dumps(sys.argv[1:]))",
        "$(id); `id`",
        1,
        True,
        None,
        [1],
    )
    assert value(await desk.run(task, inputs)) == ["$(id); `id`", "1", "true", "", "[1]"]


@pytest.mark.parametrize("command", ["no_such_command_here", "/etc/passwd", "/etc", "./missing.sh"])
async def test_a_command_that_cannot_be_executed_is_not_tried_again(desk: Desk, command: str) -> None:
    problem = error(await desk.run(*argv(command)))
    assert (problem.reason, problem.retryable) == ("not_found", False)
    assert command in problem.message


async def test_arguments_that_no_process_can_have(desk: Desk) -> None:
    assert error(await desk.run(*argv("echo", "a\0b"))).reason == "invalid_input"
    assert error(await desk.run(*argv("echo", "x" * 5_000_000))).reason == "invalid_input"
    assert error(await desk.run(shell("true"), {"env": {"A=B": "1"}})).reason == "invalid_input"


async def test_the_environment_is_the_workers_without_ours_plus_what_the_task_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults 72: no setting and no secret of the worker reaches a task."""
    for name in ("HEADRACE_DATABASE_URL", "HEADRACE_SECRET_REPORTS", "headrace_token"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("KEPT", "yes")
    env = {"N": 1, "F": 0.5, "B": False, "NULL": None, "L": [1, "é"], "TEXT": "a b\n$HOME", "KEPT2": ""}
    program = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    report = await desk.run(shell(program, task_id="g.t"), {"env": env}, map=pack((2, 1)), attempt=4)
    seen = value(report)
    assert "canary" not in seen.values()
    assert (seen["N"], seen["F"], seen["B"], seen["L"], seen["TEXT"], seen["KEPT2"]) == (
        "1",
        "0.5",
        "false",
        '[1,"é"]',
        "a b\n$HOME",
        "",
    )
    assert seen["KEPT"] == "yes"
    assert "NULL" not in seen
    ours = {name: text for name, text in seen.items() if name.startswith("HEADRACE_")}
    assert ours.pop("HEADRACE_WORK_DIR") != ours.pop("HEADRACE_OUTPUT")
    assert ours == {
        "HEADRACE_RUN": "run-1",
        "HEADRACE_WORKFLOW": "flow",
        "HEADRACE_TASK": "g.t",
        "HEADRACE_MAP_INDEX": "1",
        "HEADRACE_MAP_PATH": "2,1",
        "HEADRACE_ATTEMPT": "4",
        "HEADRACE_EFFECT_KEY": "run-1/0/g.t[2,1]",
    }


async def test_folders(desk: Desk, tmp_path: Path) -> None:
    (desk.app / "sub").mkdir()
    other = tmp_path / "other"
    other.mkdir()
    here = 'printf \'"%s"\' "$PWD"'
    assert value(await desk.run(shell(here))) == str(desk.app)
    assert value(await desk.run(shell(here, folder=str(other)))) == str(other)
    work = {"run": here, "interpreter": ["bash", "-c"], "cwd": "sub"}
    assert value(await desk.run(job("shell", work))) == str(desk.app / "sub")
    assert error(await desk.run(job("shell", {**work, "cwd": "nowhere"}))).reason == "not_found"
    scratch = value(
        await desk.run(shell('touch "$HEADRACE_WORK_DIR/x"; printf \'"%s"\' "$HEADRACE_WORK_DIR"'))
    )
    assert not await asyncio.to_thread(os.path.exists, scratch)


async def test_output_streams_into_the_log_while_it_runs(desk: Desk) -> None:
    lines: list[str] = []

    async def follow() -> None:
        async for line in desk.logs.follow("run-1"):
            lines.append(line.text)
            if line.text == "go":
                (desk.app / "go").touch()

    following = asyncio.ensure_future(follow())
    report = await desk.run(shell("echo go; while [ ! -e go ]; do sleep 0.02; done; echo went"))
    assert report.kind == "succeeded"
    assert lines[0] == "go"
    following.cancel()
    assert await desk.log() == ["go", "went"]


async def test_what_it_writes_stays_on_its_line(desk: Desk) -> None:
    """faults 73: control characters are kept in the file and cannot forge a line."""
    await desk.run(
        shell("printf 'a\\033[31mred\\r\\n'; printf 'x\\ry\\n'; printf '\\xff\\n'; printf 'é' >&2")
    )
    assert await desk.log(stream="stdout") == ["a\x1b[31mred", "x", "y", "\ufffd"]
    assert await desk.log(stream="stderr") == ["é"]
    (file,) = list((desk.folder / "logs").glob("*/*/*.jsonl"))
    text = await asyncio.to_thread(file.read_text)
    assert "\x1b" not in text
    assert all(json.loads(line) for line in text.splitlines())


async def test_an_endless_line_is_cut(desk: Desk) -> None:
    await desk.run(shell("head -c 100000 /dev/zero | tr '\\0' x; echo; echo after"))
    lines = await desk.log()
    assert lines[-1] == "after"
    assert max(map(len, lines)) <= 16 * 1024 * 5
    assert sum(map(len, lines)) == 100_005


async def test_cancel_asks_politely_first(desk: Desk) -> None:
    running = desk.make(shell("trap 'echo cleaned; exit 0' TERM; > ready; while :; do sleep 0.02; done"))
    desk.send(running)
    await desk.hear(1, "started")
    await asyncio.to_thread(appears, desk.app / "ready")
    desk.abort(running, grace=20)
    (report,) = await desk.hear(1)
    assert report.kind == "cancelled"
    assert (await desk.log())[-1] == "cleaned"


async def test_cancel_kills_the_whole_group_after_the_grace(desk: Desk) -> None:
    program = "trap '' TERM; (trap '' TERM; sleep 300) & echo $! > child; echo $$ > parent; > ready; wait; sleep 300"
    running = desk.make(shell(program))
    desk.send(running)
    await desk.hear(1, "started")
    await asyncio.to_thread(appears, desk.app / "ready")
    parent, child = (int((desk.app / name).read_text()) for name in ("parent", "child"))
    assert alive(parent)
    assert alive(child)
    desk.abort(running, grace=0.1)
    (report,) = await desk.hear(1)
    assert report.kind == "cancelled"
    assert await gone_meanwhile(parent, child)


async def test_who_is_asked_to_stop_again_gets_less_time_and_never_more(desk: Desk) -> None:
    running = desk.make(shell("trap '' TERM; echo $$ > pid; > ready; while :; do sleep 0.02; done"))
    desk.send(running)
    await desk.hear(1, "started")
    await asyncio.to_thread(appears, desk.app / "ready")
    desk.abort(running, grace=3600)
    desk.abort(running, grace=7200)
    desk.abort(running, grace=0)
    (report,) = await desk.hear(1)
    assert report.kind == "cancelled"
    assert await gone_meanwhile(int((desk.app / "pid").read_text()))


async def test_a_time_limit_ends_the_process(desk: Desk) -> None:
    report = await desk.run(shell("echo $$ > pid; exec sleep 300", limits=Limits(attempt=0.3, grace=1)))
    problem = error(report)
    assert (problem.kind, problem.reason) == ("timeout", "timed_out")
    assert await gone_meanwhile(int((desk.app / "pid").read_text()))


async def test_what_is_left_in_the_background_ends_with_the_task(desk: Desk) -> None:
    report = await desk.run(shell("sleep 300 & echo $! > pid; echo 1"))
    assert value(report) == 1
    assert await gone_meanwhile(int((desk.app / "pid").read_text()))


async def test_many_at_once(desk: Desk) -> None:
    sent = [desk.make(shell(f"sleep 0.1; echo {n}", task_id=f"t{n}")) for n in range(30)]
    desk.send(*sent)
    reports = await desk.hear(30)
    assert sorted(json.loads(report.output or b"") for report in reports) == list(range(30))
    assert list((desk.folder / "state" / "processes").iterdir()) == [], "notes are taken back"


WORKER = """
import asyncio, sys
from pathlib import Path
from tests.integration.runners.desk import Desk, shell

async def main():
    desk = Desk(Path(sys.argv[1]))
    await desk.engine.start(); desk.engine.seek(0, 0)
    await desk.worker.start()
    desk.send(desk.make(shell("(trap '' TERM HUP; sleep 300) & echo $! > child; echo $$ > parent.part; mv parent.part parent; wait")))
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def start_worker(folder: Path) -> tuple[subprocess.Popen[bytes], int, int]:
    """A worker in a process of its own, executing a task with a child; the pids of both."""
    root = Path(__file__).parents[3]
    argv = [sys.executable, "-c", textwrap.dedent(WORKER), str(folder)]
    worker = subprocess.Popen(argv, cwd=root)  # noqa: ASYNC220 - nothing else runs on this loop
    parent, notes = folder / "app" / "parent", folder / "state" / "processes"

    def under_way() -> bool:
        assert worker.poll() is None
        return parent.exists() and any(notes.glob("*"))

    await asyncio.to_thread(eventually, under_way, "the worker did not start the task")
    return worker, int(parent.read_text()), int((folder / "app" / "child").read_text())


def wardens(of: int) -> list[int]:
    """The wardens among the children of a process."""
    text = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    everybody = {int(pid) for pid in text}
    for thread in Path(f"/proc/{of}/task").iterdir():
        everybody |= {int(pid) for pid in (thread / "children").read_text().split()}
    return [pid for pid in everybody if "warden.py" in Path(f"/proc/{pid}/cmdline").read_text()]


async def test_a_killed_workers_tasks_die_with_it(tmp_path: Path) -> None:
    """faults 53: kill -9 leaves nothing behind that could act beside the next attempt."""
    worker, parent, child = await start_worker(tmp_path)
    assert alive(parent)
    worker.kill()
    worker.wait()
    assert await gone_meanwhile(parent, child)


async def test_the_next_start_kills_what_even_the_warden_left(tmp_path: Path) -> None:
    worker, parent, child = await start_worker(tmp_path)
    try:
        worker.send_signal(signal.SIGSTOP)  # it does not notice
        (warden,) = wardens(worker.pid)
        os.kill(warden, signal.SIGKILL)
        assert reap(tmp_path / "state") == 0, "the worker is alive: its processes are not ours to kill"
        assert alive(parent)
    finally:
        worker.kill()
        worker.wait()
    assert alive(child)
    assert reap(tmp_path / "state") == 1
    assert await gone_meanwhile(parent, child)
    assert reap(tmp_path / "state") == 0


def test_a_note_about_a_number_that_means_another_process_by_now_kills_nothing(tmp_path: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    notes = tmp_path / "processes"
    notes.mkdir()
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        start = started_at(process.pid)
        assert start is not None
        for name, text in {
            "reused": f"{boot} 999999999 1 {process.pid} {int(start) - 1}",
            "reboot": f"another-boot 999999999 1 {process.pid} {start}",
            "torn": f"{boot} 99",
        }.items():
            (notes / name).write_text(text)
        reap(tmp_path)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


async def test_scratch_is_private(desk: Desk) -> None:
    report = await desk.run(shell('stat -c \'"%a"\' "$(dirname "$HEADRACE_WORK_DIR")"'))
    assert value(report) == format(stat.S_IRWXU, "o")
