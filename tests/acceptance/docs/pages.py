"""The pages of documentation and what stands in them: fenced blocks with their marks, tables, links.

The words behind a block's language say what the tests do with it; a reader does not see them:

* `yaml`: a whole workflow without problems or warnings. `task`: only the tasks of one; `top`: only top-level keys.
  `later`: valid, and refused by `run` as not supported yet. `warns`: valid, with a warning. `run`: run to its end, which is
  `succeeded` unless `run=failed` says otherwise.
* `python`: a module that can be imported. `twin`: its workflow has the plan of the yaml block before it. `part`: a piece that
  is only parsed.
* `console`: commands after `$ `, run in the page's folder, and exactly what they print. `shown`: not run.
  `unordered`: the lines may come in any order. `lab`: those of a page in one shell, with its
  jobs, on the servers that they start.
* `file=NAME`, with any language: the block is that file of the page's folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

FENCE = re.compile(r"^( *)```(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block. `marks`: the words behind its language, with what stands after their `=`."""

    page: str
    line: int
    language: str
    marks: Mapping[str, str]
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README and all of docs/, the longest way down included."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order. Fails when one is not closed."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    began: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if began is None:
            if fence:
                began, lines = (number, fence[1], fence[2]), []
        elif fence and fence[2] == "":
            language, *words = began[2].split() or [""]
            marks = {word.partition("=")[0]: word.partition("=")[2] for word in words}
            cut = len(began[1])
            text = "\n".join(each[cut:] for each in lines) + "\n"
            yield Block(name_of(page), began[0], language, marks, text)
            began = None
        else:
            lines.append(line)
    assert began is None, f"{name_of(page)}:{began[0] if began else 0}: this block is not closed"


def all_blocks(language: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.language == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    kept, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def rows(page: Path, *header: str) -> list[tuple[str, ...]]:
    """The rows of every table of a page that has this header."""
    found: list[tuple[str, ...]] = []
    table: tuple[str, ...] | None = None
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            table = None
            continue
        cells = tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        if table is None:
            table = cells
        elif table == header and not set("".join(cells)) <= set("-: "):
            found.append(cells)
    return found
