"""Python source as a tree of calls and displays, laid out to a line width; and names that never meet."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from headrace.engine.core.workflow import Json

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Display:
    """Brackets around items: a call's arguments, a list, a map."""

    opening: str
    items: tuple[tuple[str, Code], ...]  # (what stands before the item, such as `key=`, the item)
    closing: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Pieces of source that stand next to each other."""

    parts: tuple[Code, ...]


Code: TypeAlias = str | Display | Chain


def call(function: Code, *args: Code, **named: Code | None) -> Code:
    """`function(args, key=value)`; keys that are Python's own words go through `**{…}`. None: not given."""
    items: list[tuple[str, Code]] = [("", arg) for arg in args]
    odd: list[tuple[str, Code]] = []
    for name, value in named.items():
        if value is None:
            continue
        if keyword.iskeyword(name):
            odd.append((f"{quote(name)}: ", value))
        else:
            items.append((f"{name}=", value))
    if odd:
        items.append(("**", Display("{", tuple(odd), "}")))
    return chain(function, Display("(", tuple(items), ")"))


def listing(items: Iterable[Code]) -> Code:
    """A list."""
    return Display("[", tuple(("", item) for item in items), "]")


def mapping(items: Mapping[str, Code]) -> Code:
    """A dict with text keys."""
    return Display("{", tuple((f"{quote(key)}: ", item) for key, item in items.items()), "}")


def constant(value: Json) -> Code:
    """A JSON value."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Mapping):
        return mapping({key: constant(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return listing(map(constant, value))
    return repr(value)


def quote(text: str) -> str:
    """Text as a literal in double quotes where that needs no escapes."""
    plain = repr(text)
    if plain[0] == "'" and '"' not in text:
        return f'"{plain[1:-1]}"'
    return plain


def flat(code: Code) -> str:
    """All in one line."""
    match code:
        case Chain(parts):
            return "".join(map(flat, parts))
        case Display(opening, items, closing):
            return opening + ", ".join(before + flat(item) for before, item in items) + closing
    return code


def lines(code: Code, indent: int, before: str = "", after: str = "") -> Iterator[str]:
    """The source, in one line if it fits, else with the last brackets that can be opened spread over lines."""
    pad = " " * indent
    whole = f"{pad}{before}{flat(code)}{after}"
    if len(whole) <= WIDTH and "\n" not in whole:
        yield whole
        return
    if isinstance(code, Display) and code.items:
        yield f"{pad}{before}{code.opening}"
        for head, item in code.items:
            yield from lines(item, indent + 4, head, ",")
        yield f"{pad}{code.closing}{after}"
        return
    if isinstance(code, Chain):
        spread = _to_open(code.parts, WIDTH - indent - len(before))
        if spread is not None:
            at, display = spread
            head = before + "".join(map(flat, code.parts[:at]))
            rest = code.parts[at + 1 :]
            if not rest:
                yield from lines(display, indent, head, after)
                return
            *body, last = lines(display, indent, head)
            yield from body
            yield from lines(Chain(rest), indent, last[indent:], after)
            return
    yield whole


def _to_open(parts: Sequence[Code], room: int) -> tuple[int, Display] | None:
    """Which brackets of a chain to open: the longest ones, unless what stands before them has no room already."""
    found = [
        (at, part) for at, part in enumerate(map(_only, parts)) if isinstance(part, Display) and part.items
    ]
    if not found:
        return None
    widest = max(found, key=lambda entry: len(flat(entry[1])))
    if sum(len(flat(part)) for part in parts[: widest[0]]) < room:
        return widest
    return next(entry for entry in found if sum(len(flat(part)) for part in parts[: entry[0] + 1]) >= room)


def _only(part: Code) -> Code:
    while isinstance(part, Chain) and len(part.parts) == 1:
        part = part.parts[0]
    return part


def chain(*parts: Code) -> Chain:
    """Pieces next to each other, chains within opened up."""
    found: list[Code] = []
    for part in parts:
        found += chain(*part.parts).parts if isinstance(part, Chain) else (part,)
    return Chain(tuple(found))


class Names:
    """Names of one module and of all functions in it: each given once, so that none hides another."""

    WORDS = frozenset((*keyword.kwlist, *keyword.softkwlist))

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*self.WORDS, *taken}

    def give(self, wanted: str) -> str:
        """The wanted name made fit for Python, or one near it."""
        base = re.sub(r"\W", "_", wanted, flags=re.ASCII) or "_"
        base = f"_{base}" if base[0].isdigit() else base
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name
