"""`headrace dlq`: what failed for good is found, grouped, tried again behind a canary, and put aside."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli.conftest import Terminal
from tests.acceptance.terminal import refused

FLAKY = """\
workflow: flaky
defaults: {retry: {attempts: 1}}
params: {n: {type: integer}}
tasks:
  load:
    shell: "cat fixed || { echo row $N is broken >&2; exit 3; }"
    env: {N: "${{ params.n }}"}
  after: {noop: {}, depends_on: load}
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Three runs that failed alike, and one that failed in its own way. Only to be copied."""
    headrace = Terminal(tmp_path_factory.mktemp("failed"))
    headrace.write("flaky.yaml", FLAKY)
    headrace.write("other.yaml", 'workflow: other\ntasks: {load: {shell: "exit 4", retry: {attempts: 1}}}\n')
    for n in range(1, 4):
        assert headrace("run", "flaky.yaml", "-p", f"n={n}").status == 1
    assert headrace("run", "other.yaml").status == 1
    return headrace


@pytest.fixture
def three(failed: Terminal, tmp_path: Path) -> Terminal:
    """What `failed` is, in a folder of its own; its runs belong to that folder's files."""
    folder = tmp_path / "copy"
    shutil.copytree(failed.folder, folder)
    with sqlite3.connect(folder / ".headrace" / "headrace.db") as database:
        database.execute("UPDATE runs SET folder = ?", (str(folder),))
    database.close()
    return Terminal(folder)


def listed(headrace: Terminal, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = headrace("dlq", "list", "--json", *words).document["items"]
    return found


def states(headrace: Terminal) -> dict[int, str]:
    return {letter["id"]: letter["state"] for letter in listed(headrace, "--state", "all")}


def test_letters_are_listed_in_pages_and_filtered(three: Terminal) -> None:
    first = three("dlq", "list", "--json", "--limit", "3").document
    assert [letter["id"] for letter in first["items"]] == [4, 3, 2]
    rest = three("dlq", "list", "--json", "--limit", "3", "--before", str(first["next"])).document
    assert ([letter["id"] for letter in rest["items"]], rest["next"]) == ([1], None)
    [other] = listed(three, "--workflow", "other")
    assert (other["task"], other["error"]["message"], other["state"]) == ("load", "exit status 4", "open")
    assert listed(three, "--task", "after") == []
    assert "No dead letter." in three("dlq", "list", "--state", "discarded").err
    refused(three("dlq", "list", "--limit", "501"), "--limit is from 1 to 500")


def test_alike_failures_are_one_group_and_its_newest_is_shown(three: Terminal) -> None:
    other, flaky = three("dlq", "group", "--json").document["items"]
    assert (other["workflow"], other["count"]) == ("other", 1)
    assert (flaky["workflow"], flaky["task"], flaky["count"], flaky["open"]) == ("flaky", "load", 3, 3)
    assert "row 3 is broken" in flaky["error"]["message"]
    assert [letter["id"] for letter in listed(three, "--fingerprint", flaky["fingerprint"][:6])] == [3, 2, 1]
    assert flaky["fingerprint"] in three("dlq", "group").out


def test_one_letter_is_shown_whole(three: Terminal) -> None:
    letter = three("dlq", "show", "2", "--json").document
    assert (letter["run_state"], letter["task"], letter["attempt"]) == ("failed", "load", 1)
    assert letter["inputs"]["env"] == {"N": 2}
    [attempt] = letter["attempts"]
    assert "row 2 is broken" in attempt["error"]["message"]
    shown = three("dlq", "show", "2")
    assert "row 2 is broken" in shown.out
    assert "headrace dlq requeue 2" in shown.err
    refused(three("dlq", "show", "99"), "there is no dead letter 99")


def test_a_canary_that_fails_keeps_the_others_back_and_one_that_succeeds_lets_them_go(
    three: Terminal,
) -> None:
    tried = three("dlq", "requeue", "--workflow", "flaky", "--json")
    assert tried.status == 1
    assert tried.document == {"schema": 1, "requeued": [1], "refused": [], "canary": "failed", "kept_back": 2}
    assert states(three) == {1: "requeued", 2: "open", 3: "open", 4: "open", 5: "open"}
    (three.folder / "fixed").write_text("ok\n")
    again = three("dlq", "requeue", "--workflow", "flaky", "--json")
    assert again.status == 0, again.err
    assert again.document["requeued"] == [2, 3, 5]
    assert again.document["canary"] == "succeeded"
    assert {letter["id"] for letter in listed(three)} == {4}
    runs = three("runs", "list", "--json").document["items"]
    assert {(run["workflow"], run["state"]) for run in runs} == {("flaky", "succeeded"), ("other", "failed")}


def test_without_a_canary_all_are_begun_at_once(three: Terminal) -> None:
    (three.folder / "fixed").write_text("ok\n")
    done = three("dlq", "requeue", "1", "2", "3", "--no-canary", "--json")
    assert (done.status, done.document["requeued"], done.document["canary"]) == (0, [1, 2, 3], None)
    shown = three("dlq", "show", "1", "--json").document
    assert (shown["state"], shown["run_state"]) == ("requeued", "succeeded")
    assert shown["by"]
    again = three("dlq", "requeue", "1", "--json")
    assert (again.status, again.document["requeued"]) == (1, [])
    assert again.document["refused"] == [{"id": 1, "why": "somebody else handled it"}]


def test_a_letter_whose_run_lives_stays_open(three: Terminal) -> None:
    """Another task of the run is still at work: a rerun of it would be refused."""
    three.write(
        "slow.yaml",
        'workflow: slow\ntasks:\n  bad: {shell: "exit 5", retry: {attempts: 1}}\n  long: {shell: "sleep 60"}\n',
    )
    with three.watching("slow.yaml") as running:
        running.until("bad", "failed")
        number = listed(three, "--workflow", "slow")[0]["id"]
        done = three("dlq", "requeue", str(number), "--json")
        assert done.status == 1
        [refusal] = done.document["refused"]
        assert "has not ended" in refusal["why"]
        assert states(three)[number] == "open"
        running.kill()


def test_discarding_wants_a_reason_and_is_kept(three: Terminal) -> None:
    refused(three("dlq", "discard", "1"), "reason")
    refused(three("dlq", "discard", "--reason", "known"), "name dead letters by their ids")
    refused(three("dlq", "discard", "1", "--workflow", "flaky", "--reason", "x"), "name dead letters")
    done = three("dlq", "discard", "1", "4", "--reason", "known since monday", "--json")
    assert done.document == {"schema": 1, "discarded": [1, 4], "left": []}
    assert "known since monday" in three("dlq", "show", "4").out
    rest = three("dlq", "discard", "--workflow", "flaky", "--reason", "known", "--json").document
    assert rest["discarded"] == [2, 3]
    assert "nothing more" in three("dlq", "discard", "--help").out
    refused(three("dlq", "requeue", "--workflow", "flaky"), "no open dead letter fits")
    assert listed(three) == []


def test_a_message_with_control_characters_does_not_reach_the_terminal(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks: {a: {shell: \"printf 'x\\\\033[2Jy' >&2; exit 1\", retry: {attempts: 1}}}\n",
    )
    assert headrace("run", "w.yaml").status == 1
    for words in (("dlq", "list"), ("dlq", "show", "1"), ("dlq", "group")):
        done = headrace(*words)
        assert "\x1b" not in done.out + done.err
    assert json.loads(headrace("dlq", "show", "1", "--json").out)["error"]["kind"] == "exit"
