"""Pages hold together: links lead somewhere, and what can be listed from the code is on its page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.engine import engine
from headrace.cli.settings import Settings
from headrace.cli.worker import worker
from headrace.dsl.schema import workflow_schema
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import TASKS, wanted
from headrace.engine.core.plan import RULE_NAMES
from headrace.engine.core.problems import ERRORS, WARNINGS
from headrace.engine.core.workflow import Kind
from headrace.engine.expressions.functions import FUNCTIONS
from tests.acceptance.docs.pages import DOCS, ROOT, name_of, pages, prose, rows

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page, as the usual renderers make it of its headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(other), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", [page for page in pages() if page.parent == DOCS], ids=name_of)
def test_a_page_can_be_found(page: Path) -> None:
    """From the first page, in two steps at most."""
    first = {
        (ROOT / target.partition("#")[0]).resolve() for target in LINK.findall(prose(ROOT / "README.md"))
    }
    second = {
        (each.parent / target.partition("#")[0]).resolve()
        for each in first
        if each.suffix == ".md" and each.exists()
        for target in LINK.findall(prose(each))
    }
    assert page in first | second


def properties(schema: Any) -> Iterator[str]:
    """Every key that a workflow file may have, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        for each in schema.values():
            yield from properties(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from properties(each)


def test_every_key_is_in_the_language() -> None:
    text = (DOCS / "language.md").read_text(encoding="utf-8")
    missing = {key for key in properties(workflow_schema()) if not re.search(rf"`[^`\n]*\b{key}\b", text)}
    assert not missing


def test_every_rule_is_on_its_page() -> None:
    names = {
        row[0].strip("`")
        for row in rows(DOCS / "trigger_rules.md", "rule", "runs when", "settles without running")
    }
    assert names == set(RULE_NAMES)


def test_every_kind_has_its_row_and_its_word() -> None:
    kinds = {kind.value for kind in Kind} - {Kind.GROUP.value} | {"tasks"}
    assert {row[0].split("`")[1] for row in rows(DOCS / "language.md", "kind", "takes", "output")} == kinds
    words = next(row[1] for row in rows(DOCS / "glossary.md", "word", "meaning") if row[0] == "**Kind**")
    assert set(words.split("`")[1].split()) == kinds - {"tasks"}


def test_what_is_not_run_yet_is_marked() -> None:
    """Each key and kind that the engine refuses carries the mark on its page."""
    marked = {
        name
        for row in re.findall(r"^\| (.+?) \|", prose(DOCS / "language.md"), re.MULTILINE)
        if "◇" in row
        for name in re.findall(r"`(\w+)`", row)
    }
    assert marked >= {
        "concurrency",
        "retention",
        "notify",
        "compensate",
        "kafka",
        "webhook",
        "after",
        "assets",
    }
    assert "container" in marked


def test_every_function_is_among_the_expressions() -> None:
    text = (DOCS / "expressions.md").read_text(encoding="utf-8")
    assert not {name for name in FUNCTIONS if f"{name}(" not in text}


def test_every_problem_is_in_the_language() -> None:
    text = (DOCS / "language.md").read_text(encoding="utf-8")
    assert not {code for code in ERRORS | WARNINGS if f"`{code}`" not in text}


def test_every_setting_is_in_operations() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert not {name for name in Settings.model_fields if f"`{name}`" not in text}


@pytest.mark.parametrize(("page", "command"), [("engines.md", engine), ("workers.md", worker)])
def test_every_option_of_a_process_has_its_row(page: str, command: Callable[..., int]) -> None:
    shown = {row[0].strip("`") for row in rows(DOCS / page, "option", "default", "meaning")}
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters} - {"--where"}
    assert shown == options


def test_every_topic_is_described() -> None:
    names = {topic.name for topic in wanted(KafkaSettings(("kafka:9092",)), 16, ())} | {f"{TASKS}<queue>"}
    for page in ("messages.md", "design/kafka.md"):
        text = (DOCS / page).read_text("utf-8")
        assert not {name for name in names if f"`{name}`" not in text}, page


def test_what_operators_look_for_in_logs_is_said_by_the_code() -> None:
    watched = rows(DOCS / "operations.md", "look at", "it means")
    phrases = [cell.split("`")[1] for cell, _ in watched if cell.endswith("in a log") or cell[1:2].islower()]
    phrases = [phrase for phrase in phrases if not phrase.startswith(("headrace ", "select "))]
    assert len(phrases) >= 5
    code = "".join(
        path.read_text("utf-8")
        for part in ("engine", "runners", "api")
        for path in (ROOT / part).rglob("*.py")
    )
    assert not [phrase for phrase in phrases if phrase not in code]
