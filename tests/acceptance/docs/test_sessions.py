"""What a page says is typed is typed, and prints what the page shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.docs.pages import ROOT, Block, blocks, name_of, pages
from tests.acceptance.docs.session import Session, agree, comparable, steps


def typed(block: Block) -> bool:
    return block.language == "console" and "shown" not in block.marks


TYPED = [page for page in pages() if any(map(typed, blocks(page)))]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TYPED, ids=name_of)
def test_a_page_shows_what_is_printed(page: Path, tmp_path: Path) -> None:
    session = Session(tmp_path)
    if any("$ make " in block.text for block in blocks(page)):  # typed in a checkout; here a part of one
        session.cwd = tmp_path / "headrace"
        shutil.copytree(ROOT / "examples", session.cwd / "examples", ignore=shutil.ignore_patterns("reports"))
    lab = [block for block in blocks(page) if "lab" in block.marks]
    for block in blocks(page):
        if "file" in block.marks:
            (session.cwd / block.marks["file"]).write_text(block.text, encoding="utf-8")
        elif "lab" in block.marks:
            together, lab = lab, []
            if together:
                in_one_shell(session, together)
        elif typed(block):
            free = "unordered" in block.marks
            for command, shown in steps(block):
                printed = session(command)
                expected, found = comparable(shown, unordered=free), comparable(printed, unordered=free)
                assert agree(expected, found), f"{block.name}: $ {command}\n{printed}"


def in_one_shell(session: Session, lab: list[Block]) -> None:
    """All blocks of a page that use a lab: prose may stand between them, the shell and its jobs stay."""
    typed_in = [(block, command, shown) for block in lab for command, shown in steps(block)]
    printed = session.together([command for _, command, _ in typed_in])
    for (block, command, shown), found in zip(typed_in, printed, strict=False):
        assert agree(comparable(shown), comparable(found)), f"{block.name}: $ {command}\n{found}"
    assert len(printed) == len(typed_in) + 1, f"the shell ended early: {printed[-1]}"


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "…", "d"], ["a", "b", "c", "d"], True),
        (["…", "d"], ["d"], True),
        (["a", "…"], ["b", "a"], False),
        (["a"], ["a", "b"], False),
    ],
)
def test_what_counts_as_agreeing(shown: list[str], printed: list[str], same: bool) -> None:
    assert agree(shown, printed) is same
