"""Settings: which source wins, and what is said about a wrong value."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.failure import Stop
from headrace.cli.settings import load_settings, mask_password
from headrace.cli.where import Where, prepare

LAYERS = ("flag", "variable", "mounted", "dotenv", "toml", "default")
ORIGINS = {
    "flag": "--project",
    "variable": "HEADRACE_PROJECT",
    "mounted": "HEADRACE_PROJECT_FILE",
    "dotenv": ".env",
    "toml": "headrace.toml",
    "default": "default",
}


@pytest.mark.parametrize("winner", LAYERS)
def test_the_nearest_source_wins(winner: str, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = LAYERS[LAYERS.index(winner) :]
    if "toml" in present:
        (alone / "headrace.toml").write_text('project = "toml"\n')
    if "dotenv" in present:
        (alone / ".env").write_text("HEADRACE_PROJECT=dotenv\nOTHER=1\n")
    if "mounted" in present:
        (alone / "secret").write_text("mounted\n")
        monkeypatch.setenv("HEADRACE_PROJECT_FILE", str(alone / "secret"))
    if "variable" in present:
        monkeypatch.setenv("HEADRACE_PROJECT", "variable")
    loaded = load_settings({"project": "flag" if "flag" in present else None})
    assert loaded.settings.project == winner
    assert loaded.origins["project"] == ORIGINS[winner]


def test_lists_are_words_in_variables_and_lists_in_toml(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "headrace.toml").write_text('kafka = ["a:9092", "b:9092"]\n')
    monkeypatch.setenv("HEADRACE_HTTP_ALLOW", "intranet.example, 10.0.0.0/8")
    settings = load_settings({}).settings
    assert settings.kafka == ("a:9092", "b:9092")
    assert settings.http_allow == ("intranet.example", "10.0.0.0/8")


def test_the_database_is_in_home_unless_named(alone: Path) -> None:
    assert load_settings({}).settings.database == f"sqlite:///{alone}/.headrace/headrace.db"
    assert load_settings({"database_url": "postgresql://h/d"}).settings.database == "postgresql://h/d"


def test_an_empty_variable_names_no_database(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files and env files leave behind what is not filled in."""
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "")
    settings = load_settings({}).settings
    assert not settings.on_postgres
    assert settings.database == f"sqlite:///{alone / '.headrace' / 'headrace.db'}"


def test_a_wrong_value_names_where_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SLOTS", "many")
    with pytest.raises(Stop) as stopped:
        load_settings({})
    assert stopped.value.message.startswith("HEADRACE_SLOTS: slots cannot be 'many'")
    assert stopped.value.status == 2


def test_an_unknown_key_in_the_file_names_the_nearest(alone: Path) -> None:
    (alone / "headrace.toml").write_text("slot = 3\n")
    with pytest.raises(Stop, match='no setting "slot"') as stopped:
        load_settings({})
    assert stopped.value.hint == 'Did you mean "slots"?'


def test_a_mounted_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(Stop, match="HEADRACE_TOKEN_FILE: /nowhere/token cannot be read"):
        load_settings({})


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN", "hunter2")
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://me:hunter2@db:5432/x")
    loaded = load_settings({})
    assert loaded.settings.token is not None
    assert loaded.settings.token.get_secret_value() == "hunter2"
    shown = {name: str(loaded.shown(name)) for name in loaded.origins}
    assert "hunter2" not in str(shown) + str(loaded)
    assert shown["database_url"] == "postgresql://me:********@db:5432/x"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("redis://:pw@h:1/0", "redis://:********@h:1/0"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_masking_leaves_the_rest_alone(url: str, masked: str) -> None:
    assert mask_password(url) == masked


def test_home_is_made_with_a_gitignore_that_is_never_overwritten(alone: Path) -> None:
    home = prepare(alone / "a" / "b")
    assert (home / ".gitignore").read_text().endswith("*\n")
    (home / ".gitignore").write_text("mine\n")
    prepare(home)
    assert (home / ".gitignore").read_text() == "mine\n"


def test_a_home_that_cannot_be_made_has_status_3(alone: Path) -> None:
    (alone / "file").write_text("")
    with pytest.raises(Stop) as stopped:
        prepare(alone / "file" / "home")
    assert stopped.value.status == 3


def test_flags_reach_the_settings(alone: Path) -> None:
    assert Where(home=alone / "h").settings(slots=3).slots == 3


def test_what_no_http_task_could_reach_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_HTTP_ALLOW", "10.1.0.0/16, localhost:8080")
    with pytest.raises(Stop) as stopped:
        load_settings({}, tmp_path)
    assert stopped.value.message.startswith("HEADRACE_HTTP_ALLOW: ")
    assert stopped.value.message.endswith('"localhost:8080" is neither a host name nor a network.')


def test_sizes_of_pools_are_words_in_a_variable_and_a_table_in_toml(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "headrace.toml").write_text("[pools]\nwarehouse = 2\n")
    assert load_settings({}).settings.pools == {"warehouse": 2}
    monkeypatch.setenv("HEADRACE_POOLS", "warehouse=3, api=4")
    assert load_settings({}).settings.pools == {"warehouse": 3, "api": 4}


@pytest.mark.parametrize("written", ["warehouse", "warehouse=0", "warehouse=many", "Ware=1", "=1", "a=1 a=2"])
def test_a_size_that_is_none_is_refused(written: str, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_POOLS", written)
    with pytest.raises(Stop, match="HEADRACE_POOLS: pools cannot be") as stopped:
        load_settings({})
    assert stopped.value.status == 2
