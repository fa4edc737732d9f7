"""Workflow files on the command line: `FILE`, `FILE.py:name`, folders, and what a folder holds."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.cli.failure import Stop
from headrace.engine.core.problems import did_you_mean

if TYPE_CHECKING:
    from headrace.dsl.source import Planned, Source

SUFFIXES = (".yaml", ".yml", ".json", ".py")
_YAML = re.compile(r"""^["']?workflow["']?:[ \t]*["']?([A-Za-z_][A-Za-z0-9_-]*)""", re.MULTILINE)
_JSON = re.compile(r"""^\s*\{\s*"workflow"\s*:\s*"([A-Za-z_][A-Za-z0-9_-]*)""")
_PYTHON = re.compile(
    r"^@(?:\w+\.)?workflow\b(?:[^\n]|\n(?!(?:async )?def ))*\n(?:async )?def ([A-Za-z_]\w*)", re.MULTILINE
)
_SEEN = 256 << 10  # characters of a file that are looked at when a folder is listed


class Target(NamedTuple):
    """A file and, for Python files with several workflows, the name of one."""

    path: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.path}:{self.name}" if self.name else self.path


def target(text: str) -> Target:
    """Read `FILE[:name]`; a file that has a colon in its own name wins."""
    if text == "-" or Path(text).exists():
        return Target(text, None)
    path, colon, name = text.rpartition(":")
    if colon and name.isidentifier():
        return Target(path, name)
    return Target(text, None)


def load_one(text: str) -> Source:
    """The one workflow that `FILE[:name]` means. Raises Stop when there is none or more than one; InvalidWorkflow."""
    wanted = target(text)
    _must_exist(wanted.path)
    from headrace.dsl.source import load

    sources = load(wanted.path, wanted.name)
    if len(sources) == 1:
        return sources[0]
    names = ", ".join(source.workflow.name for source in sources)
    if not sources:
        raise Stop(f"{wanted.path} holds no workflow.", hint="A workflow is a function under @workflow.")
    raise Stop(
        f"{wanted.path} holds several workflows: {names}.",
        hint=f"Name one: {wanted.path}:{sources[0].workflow.name}",
    )


def plan_one(text: str, pools: Container[str] = ()) -> Planned:
    """Load and plan `FILE[:name]`. Raises Stop, InvalidWorkflow."""
    source = load_one(text)
    from headrace.dsl.source import plan

    return plan(source, pools)


def plan_to_run(text: str, pools: Container[str] = ()) -> Planned:
    """Load and plan `FILE[:name]`, and refuse what the engine does not do yet. Raises Stop, InvalidWorkflow."""
    planned = plan_one(text, pools)
    from headrace.dsl.source import not_supported
    from headrace.engine.core.problems import InvalidWorkflow

    if refused := not_supported(planned.source.workflow):
        raise InvalidWorkflow(
            [problem.at(planned.source.locate(problem.path, problem.task)) for problem in refused]
        )
    return planned


def expand(arguments: Sequence[str]) -> Iterator[Target]:
    """Each file named, and each workflow file below each folder named, in order of name."""
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            for file, _ in workflows_below(path):
                yield Target(str(file), None)
        else:
            wanted = target(argument)
            _must_exist(wanted.path)
            yield wanted


def workflows_below(folder: Path, depth: int = 6) -> Iterator[tuple[Path, list[str]]]:
    """Files that say they hold workflows, with the names. Nothing is parsed or imported: it is a look at the text."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith((".", "__pycache__", "node_modules")):
            continue
        if entry.is_dir():
            if depth and not entry.is_symlink() and not (entry / "pyvenv.cfg").exists():
                yield from workflows_below(entry, depth - 1)
        elif entry.suffix in SUFFIXES and (names := _names(entry)):
            yield entry, names


def _names(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig") as stream:
            text = stream.read(_SEEN)
    except (OSError, UnicodeDecodeError):
        return []
    pattern = {".py": _PYTHON, ".json": _JSON}.get(file.suffix, _YAML)
    found = pattern.findall(text)
    return found if file.suffix == ".py" else found[:1]


def _must_exist(path: str) -> None:
    if path == "-" or Path(path).is_file():
        return
    if Path(path).is_dir():
        raise Stop(f"{path} is a folder.", hint="Name a workflow file in it.")
    raise Stop(f"there is no file {path}.", hint=_near(path))


def _near(path: str) -> str | None:
    folder = Path(path).parent
    names: Iterable[str] = (
        (entry.name for entry in folder.iterdir() if entry.suffix in SUFFIXES) if folder.is_dir() else ()
    )
    return did_you_mean(Path(path).name, names)
