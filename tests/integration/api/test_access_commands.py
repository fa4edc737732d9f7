"""`headrace users`, `tokens` and `audit`: what they make lets somebody in, and what was changed behind their back is found."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from headrace.api.access.signing import Signer
from headrace.api.access.tokens import digest_of, holds
from headrace.api.access.verifying import verify
from headrace.cli.main import main
from headrace.engine.ports.access import EVERY_PROJECT, Role
from headrace.engine.ports.acts import ChainHead
from headrace.engine.store import open_store
from tests.support.access import KEY


class Terminal:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        self._capsys.readouterr()
        try:
            status = main(list(words))
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = self._capsys.readouterr()
        return int(status or 0), said.out, said.err

    def document(self, *words: str) -> Any:
        status, out, err = self(*words, "--json")
        assert status in (0, 1), err
        return json.loads(out)


@pytest.fixture
def headrace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    return Terminal(capsys)


def rows(folder: Path, *statements: str) -> None:
    """As somebody with the database file, and without the triggers that stand in the way."""
    with sqlite3.connect(folder / ".headrace" / "headrace.db") as connection:
        for name in ("audit_fixed", "audit_kept"):
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_the_first_admin_is_made_here(headrace: Terminal, tmp_path: Path) -> None:
    status, password, told = headrace("users", "add", "ada", "--role", "admin", "--everywhere")
    assert (status, len(password.strip())) == (0, 24)
    assert password.strip() not in told
    assert headrace("users", "add", "ada")[0] == 2
    (ada,) = headrace.document("users", "list")["items"]
    assert (ada["name"], ada["roles"], ada["disabled_at"]) == ("ada", {EVERY_PROJECT: "admin"}, None)
    database = (tmp_path / ".headrace" / "headrace.db").read_bytes()
    assert password.strip().encode() not in database


def test_passwords_come_from_files_and_have_to_be_good(headrace: Terminal, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("correct horse battery\n")
    (tmp_path / "bad").write_text("ada")
    assert headrace("users", "add", "ada", "--password-file", "bad")[0] == 2
    status, out, _ = headrace("users", "add", "ada", "--password-file", "good")
    assert (status, out) == (0, "")
    assert headrace("users", "set-role", "ada", "operator", "--project", "other")[0] == 0
    assert headrace("users", "set-role", "ada", "none")[0] == 0
    assert headrace("users", "disable", "ada")[0] == 0
    (ada,) = headrace.document("users", "list")["items"]
    assert ada["roles"] == {"other": "operator"}
    assert ada["disabled_at"] is not None
    assert headrace("users", "enable", "ada")[0] == 0
    assert headrace.document("users", "list")["items"][0]["disabled_at"] is None
    for words in (("set-role", "bob", "viewer"), ("disable", "bob"), ("add", "a/b")):
        status, _, told = headrace("users", *words)
        assert (status, "Traceback" in told) == (2, False)


async def test_a_token_is_printed_once_and_kept_as_a_hash(headrace: Terminal, tmp_path: Path) -> None:
    import asyncio

    status, text, _ = await asyncio.to_thread(headrace, "tokens", "create", "ci", "--role", "operator")
    assert status == 0
    store: Any = await open_store(f"sqlite:///{tmp_path}/.headrace/headrace.db")
    try:
        token = await store.token(digest_of(text.strip()))
        assert (token.name, token.role, holds(text.strip(), token, token.created_at)) == (
            "ci",
            Role.OPERATOR,
            True,
        )
        assert text.strip()[-64:].encode() not in (tmp_path / ".headrace" / "headrace.db").read_bytes()
        assert (await asyncio.to_thread(headrace, "tokens", "create", "ci", "--role", "viewer"))[0] == 2
        assert (await asyncio.to_thread(headrace, "tokens", "revoke", "ci"))[0] == 0
        assert (await asyncio.to_thread(headrace, "tokens", "revoke", "ci"))[0] == 2
        late = await store.token(digest_of(text.strip()))
        assert not holds(text.strip(), late, late.created_at)
    finally:
        await store.close()


def test_the_audit_tells_who_and_holds(headrace: Terminal) -> None:
    for name in ("ada", "bob", "cy"):
        headrace("users", "add", name)
    headrace("users", "add", "dan", "--project", "other")
    lines = headrace.document("audit", "list")
    assert [line["object"] for line in lines["items"]] == ["user cy", "user bob", "user ada"]
    assert {line["action"] for line in lines["items"]} == {"user.add"}
    verdict = headrace.document("audit", "verify")
    assert [(one["project"], one["lines"], one["holds"]) for one in verdict["projects"]] == [
        ("default", 3, True),
        ("other", 1, True),
    ]
    mine = verdict["projects"][0]
    assert headrace("audit", "verify", "--expect", f"3:{mine['hash']}")[0] == 0
    assert headrace("audit", "verify", "--expect", "nonsense")[0] == 2


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE place = 2", "Line 2 was changed"),
        ("UPDATE audit SET at = at + 1 WHERE place = 1", "Line 1 was changed"),
        ("UPDATE audit SET detail = X'7B7D' WHERE place = 3", "Line 3 was changed"),
        ("UPDATE audit SET detail = '{}' WHERE place = 3", "Line 3 was changed"),
        ("DELETE FROM audit WHERE place = 2", "Line 2 is missing"),
        ("DELETE FROM audit WHERE place = 1", "Line 1 is missing"),
        ("DELETE FROM audit WHERE place = 3", "must reach line 3"),
        ("DELETE FROM audit_heads", "the head was taken away"),
        ("UPDATE audit_heads SET hash = 'x'", "is not its head"),
    ],
)
def test_what_was_changed_behind_its_back_is_found(
    headrace: Terminal, tmp_path: Path, done: str, said: str
) -> None:
    for name in ("ada", "bob", "cy"):
        headrace("users", "add", name)
    assert headrace("audit", "verify")[0] == 0
    rows(tmp_path, done)
    status, out, _ = headrace("audit", "verify")
    assert (status, said in out) == (1, True), out


async def test_a_chain_made_anew_does_not_have_the_hash_that_was_noted(
    headrace: Terminal, tmp_path: Path
) -> None:
    import asyncio

    for name in ("ada", "bob"):
        await asyncio.to_thread(headrace, "users", "add", name)
    verdict = (await asyncio.to_thread(headrace.document, "audit", "verify"))["projects"][0]
    noted = ChainHead(verdict["lines"], verdict["hash"])
    rows(
        tmp_path,
        "UPDATE audit SET actor = 'mallory', place = NULL, before = NULL, hash = NULL",
        "DELETE FROM audit_heads",
    )
    store: Any = await open_store(f"sqlite:///{tmp_path}/.headrace/headrace.db")
    try:
        assert await store.chain() == 2
        assert (await verify(store, "default")).problem is None
        found = await verify(store, "default", noted)
        assert found.problem is not None
        assert "noted" in found.problem
    finally:
        await store.close()


def test_a_key_leaves_nothing_of_itself_in_a_login() -> None:
    text, login = Signer([KEY]).sign("ada", 1000.0, 0.0)
    assert KEY not in text
    assert Signer([KEY]).read(text, 1000.0) == login
