"""One script of commands typed twice: on a server's API, and on the database that this very server owns."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.cli.main import main
from tests.support.api import LiveApi, live_api, serving
from tests.support.waiting import eventually

__all__ = ["live_api"]

SALES = """\
workflow: sales
description: Prices, one of which is wrong.
params:
  wrong: {type: integer, default: 2}
tasks:
  extract: {shell: 'echo "[1, 2, 3]"'}
  price:
    shell: 'echo "pricing $N"; test "$N" != "$WRONG"'
    env: {N: "${{ n }}", WRONG: "${{ params.wrong }}"}
    map: {over: "${{ tasks.extract.output }}", as: n}
    max_parallel: 1
    retry: {attempts: 2, delay: 1ms}
  publish: {shell: 'echo published', depends_on: price}
output: "${{ size(tasks.price.output) }}"
"""
SLOW = """\
workflow: slow
tasks:
  work: {shell: 'echo begun; sleep 60'}
  after: {noop: {}, depends_on: work}
"""
LEAP = """\
workflow: leap
triggers: [{id: day, cron: "30 2 29 2 *", timezone: Europe/Berlin, jitter: 1h, pause_after: 3}]
tasks: {work: {noop: {}}}
"""


class Typed(NamedTuple):
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str


class Keyboard:
    """Types commands in this process; `there`: on the server, else on its database."""

    def __init__(self, api: LiveApi, capsys: pytest.CaptureFixture[str]) -> None:
        self.api, self._capsys = api, capsys

    def __call__(self, *words: str, there: bool = True) -> Typed:
        place = ("--server", self.api.address) if there else ("--home", str(self.api.folder / "home"))
        self._capsys.readouterr()
        status = main([*words, *place])
        out, err = self._capsys.readouterr()
        return Typed(status, out, err)

    def both(self, *words: str) -> tuple[Typed, Typed]:
        """On the server, then here."""
        return self(*words), self(*words, there=False)


@pytest.fixture
def typed(
    live_api: LiveApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Keyboard:
    for name in list(os.environ):
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales.yaml").write_text(SALES)
    (tmp_path / "slow.yaml").write_text(SLOW)
    (tmp_path / "leap.yaml").write_text(LEAP)
    return Keyboard(live_api, capsys)


def audited(acts: list[dict[str, Any]], there: bool) -> list[tuple[str, str, str]]:
    """What was done on the server, or here, in order; without what came to nothing."""
    return [
        (one["action"], plain(one["object"]), plain(json.dumps(one["detail"], sort_keys=True)))
        for one in reversed(acts)
        if (one["address"] is not None) == there and one["object"] != "dead letters "
    ]


def plain(text: str) -> str:
    """Without what two runs of one workflow differ in."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r'"duration_seconds": [\d.]+', '"duration_seconds": 0', text)
    text = text.replace('"by": "local:', '"by": "')
    return re.sub(r"\b\d+\.\d+s\b", "SPAN", text)


def test_what_is_looked_at_is_the_same_to_the_letter(typed: Keyboard) -> None:
    """The run, the letters and the lines are one; who asks for them must not matter."""
    assert typed("register", "sales.yaml", "leap.yaml").status == 0
    assert typed("trigger", "sales", "--wait").status == 1
    assert typed("trigger", "hello", "-p", "name=you", "--wait").status == 0
    run = json.loads(typed("runs", "list", "--workflow", "sales", "--json").out)["items"][0]["run"]
    for words in (
        ("workflows", "list"),
        ("workflows", "list", "--json"),
        ("workflows", "show", "sales"),
        ("workflows", "show", "sales", "--json"),
        ("workflows", "show", "sals"),
        ("workflows", "diff", "sales", "--json"),
        ("workflows", "diff", "sales", "1", "7"),
        ("runs", "list"),
        ("runs", "list", "--json", "--limit", "1"),
        ("runs", "list", "--state", "failed"),
        ("runs", "show", "last"),
        ("runs", "show", run, "--all"),
        ("runs", "show", run[:20], "--json"),
        ("runs", "show", run, "--status"),
        ("runs", "show", run, "--status", "--json"),
        ("runs", "show", "0"),
        ("runs", "show", "fffffff"),
        ("runs", "show", "nonsense"),
        ("runs", "show", run[:-4] + "0000"),
        ("runs", "wait", run),
        ("runs", "wait", "last", "--json"),
        ("why", run),
        ("why", run, "--json"),
        ("why", run, "price"),
        ("why", run, "price[1]"),
        ("why", run, "price[1]", "--json"),
        ("why", "last"),
        ("logs", run),
        ("logs", run, "price", "--json"),
        ("logs", run, "price[1]", "--attempt", "2"),
        ("logs", run, "-n", "1"),
        ("logs", run, "publish"),
        ("logs", "last"),
        ("schedules", "list"),
        ("schedules", "list", "--workflow", "sales"),
        ("schedules", "list", "--json"),
        ("schedules", "show", "leap.day"),
        ("schedules", "show", "leap.day", "--json"),
        ("schedules", "show", "leap"),
        ("schedules", "show", "leap.dya"),
        ("schedules", "show", "sales"),
        ("schedules", "preview", "leap.day"),
        ("schedules", "preview", "leap.day", "--count", "2", "--after", "2026-01-01T00:00:00Z", "--json"),
        ("backfills", "list"),
        ("backfills", "list", "--json"),
        ("backfills", "show", "7"),
        ("backfills", "create", "leap", "--from", "2024-02-01", "--to", "2024-03-01"),
        ("backfills", "create", "leap", "--date", "2024-02-28"),
        ("backfills", "create", "sales", "--date", "2024-02-29"),
        ("workers", "list"),
        ("dlq", "list"),
        ("dlq", "list", "--json", "--workflow", "sales"),
        ("dlq", "list", "--before", "1"),
        ("dlq", "list", "--poison"),
        ("dlq", "group"),
        ("dlq", "group", "--json"),
        ("dlq", "show", "1"),
        ("dlq", "show", "1", "--json"),
        ("dlq", "show", "7"),
    ):
        there, here = typed.both(*words)
        assert there == here, words


def test_what_is_steered_goes_the_same_way(typed: Keyboard) -> None:
    """Two runs each, one steered through the server and one through the inbox of the same engine."""
    typed("register", "sales.yaml", "slow.yaml", "leap.yaml")
    for words in (
        ("register", "sales.yaml"),
        ("register", "sales.yaml", "--json"),
        ("trigger", "nothing"),
        ("trigger", "sales", "--version", "9"),
        ("trigger", "sales", "-p", "wrong=text"),
        ("trigger", "sales", "-p", "worng=1"),
        ("workflows", "pause", "hello"),
        ("trigger", "hello"),
        ("workflows", "resume", "hello"),
        ("trigger", "hello", "--wait", "--json"),
        ("trigger", "sales", "--wait", "--json"),
        ("schedules", "pause", "leap.day", "--reason", "no leap"),
        ("schedules", "resume", "leap.day"),
        ("schedules", "pause", "leap.dya"),
        ("schedules", "preview", "leap.day", "--after", "noon"),
        ("schedules", "trigger", "leap.day", "--wait", "--json"),
        ("backfills", "create", "leap", "--date", "2024-02-29", "--date", "2024-02-30"),
        ("backfills", "pause", "7"),
        ("workflows", "pause", "leap"),
        ("schedules", "trigger", "leap.day"),
        ("trigger", "sales", "--wait", "--json"),
        ("runs", "rerun", "last"),
        ("runs", "rerun", "last", "--from", "nothing"),
        ("runs", "rerun", "last", "--from", "price[2]"),
        ("tasks", "retry", "last", "price[1]"),
        ("tasks", "skip", "last", "publish"),
        ("runs", "cancel", "last"),
        ("dlq", "discard", "--reason", "seen"),
        ("dlq", "discard", "--workflow", "none", "--reason", "seen"),
    ):
        there, here = typed.both(*words)
        assert plain(there.out) == plain(here.out), words
        assert there.status == here.status, (words, there.err, here.err)
        if there.status == 2:
            assert plain(there.err) == plain(here.err), words

    acts = json.loads(typed("audit", "list", "--json", "--limit", "500").out)["items"]
    assert audited(acts, there=True)[3:] == audited(acts, there=False)

    for place in (True, False):
        assert typed("trigger", "slow", there=place).status == 0
        eventually(lambda: "begun" in typed("logs", "last").out, lambda: typed("runs", "show", "last").err)
        assert typed("runs", "wait", "last", "--timeout", "10ms", there=place).status == 4
        said = typed("runs", "pause", "last", there=place)
        assert said.status == 0
        assert said.err.endswith("is paused.\n")
        assert typed("runs", "resume", "last", there=place).err.endswith("is running.\n")
        assert typed("tasks", "succeed", "last", "after", there=place).status == 0
        cancelled = json.loads(typed("runs", "cancel", "last", "--json", there=place).out)
        assert cancelled["state"] in ("cancelling", "cancelled")
        assert typed("runs", "wait", "last", there=place).status == 1


def test_dead_letters_begin_again_behind_a_canary(typed: Keyboard) -> None:
    typed("register", "sales.yaml")
    for _ in range(3):
        assert typed("trigger", "sales", "--wait").status == 1
    there, here = typed.both("dlq", "requeue", "--workflow", "sales", "--json")
    assert there.status == here.status == 1  # the first one fails again, and the others are kept back
    told = json.loads(there.out)
    assert (len(told["requeued"]), told["canary"], told["kept_back"]) == (1, "failed", 2)
    assert typed("dlq", "discard", "--workflow", "sales", "--reason", "known", "--json").status == 0
    assert json.loads(typed("dlq", "list", "--json").out)["items"] == []


def test_lines_are_followed_until_the_run_has_ended(typed: Keyboard) -> None:
    typed("register", "slow.yaml")
    typed("trigger", "slow")
    eventually(lambda: "begun" in typed("logs", "last").out, lambda: typed("runs", "show", "last").err)
    typed("tasks", "cancel", "last", "work")
    followed = typed("logs", "last", "-f")
    assert (followed.status, followed.out.count("begun")) == (0, 1)
    moves = [json.loads(line) for line in typed("runs", "watch", "last", "--json").out.splitlines()]
    assert all(move["task"] in (None, "work", "after") for move in moves)


def test_a_server_that_does_not_answer_or_does_not_let_in(
    typed: Keyboard, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["runs", "list", "--server", "http://127.0.0.1:9"]) == 3
    assert "cannot be reached" in capsys.readouterr().err
    assert main(["runs", "list", "--server", "ftp://nowhere"]) == 2
    assert "no address" in capsys.readouterr().err
    assert main(["runs", "list", "--server", typed.api.address, "--home", "x"]) == 2
    monkeypatch.setenv("HEADRACE_SERVER", "http://127.0.0.1:9")
    assert main(["runs", "list", "--home", str(typed.api.folder / "home")]) == 0  # what is typed goes first
    capsys.readouterr()
    typed.api.end()

    locked = tmp_path / "locked"
    locked.mkdir()
    secret = "0123456789abcdef" * 4
    home = typed.api.folder / "home"
    with serving(locked, "api", HEADRACE_HOME=str(home), HEADRACE_SECRET=secret) as server:
        ask = ["--server", server.address]
        assert main(["runs", "list", *ask]) == 3
        assert "HEADRACE_TOKEN" in capsys.readouterr().err
        assert main(["tokens", "create", "look", "--role", "viewer", "--home", str(home)]) == 0
        monkeypatch.setenv("HEADRACE_TOKEN", capsys.readouterr().out.strip())
        assert main(["runs", "list", *ask]) == 0
        capsys.readouterr()
        assert main(["workflows", "diff", "hello", *ask]) == 3
        assert "operator" in capsys.readouterr().err
        monkeypatch.setenv("HEADRACE_TOKEN", "hr_" + "x" * 40)
        assert main(["runs", "list", *ask]) == 3
        assert "does not hold" in capsys.readouterr().err


def test_users_tokens_and_the_audit(typed: Keyboard) -> None:
    Path("word").write_text("correct horse battery\n")
    for name, there in (("ada", True), ("bob", False)):
        word = ("--password-file", "word")
        assert typed("users", "add", name, "--role", "operator", *word, there=there).status == 0
        again = typed("users", "add", name, *word, there=there)
        assert (again.status, "already" in again.err) == (2, True)
        assert typed("users", "set-role", name, "admin", "--everywhere", there=there).status == 0
        assert typed("users", "set-role", name, "viewer", there=there).status == 0
        assert typed("users", "disable", name, there=there).status == 0
        made = typed("tokens", "create", f"of-{name}", "--role", "viewer", there=there)
        assert (made.status, made.out.startswith("hr_"), made.err.count("viewer")) == (0, True, 1)
    for words in (
        ("users", "list"),
        ("users", "list", "--json"),
        ("users", "set-role", "nobody", "viewer"),
        ("users", "enable", "nobody"),
        ("tokens", "list"),
        ("tokens", "list", "--json"),
        ("tokens", "create", "of-ada", "--role", "admin"),
        ("tokens", "revoke", "of-nobody"),
        ("audit", "list", "--action", "user"),
        ("audit", "list", "--json", "--limit", "3"),
    ):
        remote, local = typed.both(*words)
        assert remote == local, words
    listed = json.loads(typed("users", "list", "--json").out)["items"]
    assert [user["roles"] for user in listed] == [{"*": "admin", "default": "viewer"}] * 2
    assert all(user["disabled_at"] for user in listed)
    assert (
        typed("tokens", "revoke", "of-ada").status
        == typed("tokens", "revoke", "of-bob", there=False).status
        == 0
    )
    assert typed("audit", "verify").status == typed("audit", "verify", there=False).status == 0
