"""Where a path of a document stands in its text. Read only when something is wrong, in one pass for all problems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from headrace.engine.core.problems import Path, Place

# JSON writes a character beyond 16 bits as a pair of escapes, which YAML does not know: as many columns take its place.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_SECTIONS = frozenset(("tasks", "on_failure", "finally"))


def is_task_map(path: Path) -> bool:
    """Whether the keys of the map at `path` are task ids: `tasks`, or the `tasks` of a group, at any depth."""
    if len(path) % 2 == 0 or path[0] not in _SECTIONS:
        return False
    return all(step == "tasks" for step in path[2::2])


def parser(text: str) -> Iterator[Any]:
    """The events of libyaml (or of its pure twin where the binary is missing)."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    return events


@dataclass(slots=True)
class _Want:
    """A node of the tree of wanted paths."""

    below: dict[str | int, _Want] = field(default_factory=dict)
    place: Place | None = None


@dataclass(slots=True)
class _Open:
    """A list or map that the parser is inside of."""

    want: _Want | None  # None: nothing below is wanted
    index: int  # position of the next item; -1 in a map
    key: bool = False  # in a map: a key has been read, its value comes next
    child: _Want | None = None


class TextPlaces:
    """A Locator (see `core.problems`) over a YAML or JSON text.

    A key's place is where the key begins, an item's where the item begins. A path that is not in the text (it came from
    a default or a long form) has the place of the nearest enclosing one.
    """

    def __init__(self, text: str, file: str | None = None, *, json: bool = False) -> None:
        self._text = text
        self._file = file
        self._json = json
        self._known: dict[Path, Place] = {}

    def __call__(self, path: Path, task: str | None = None) -> Place | None:
        if path not in self._known:
            self.look_up((path,))
        return self._known[path]

    def look_up(self, paths: Iterable[Path]) -> None:
        """Finds all these paths in one pass."""
        missing = {path for path in paths if path not in self._known}
        if not missing:
            return
        root = _Want(place=Place(self._file, 1, 1))
        for path in missing:
            want = root
            for step in path:
                want = want.below.setdefault(step, _Want())
        with suppress(yaml.YAMLError):  # what was seen until there is good
            self._scan(root)
        for path in missing:
            self._known[path] = _nearest(root, path)

    def line(self, place: Place) -> str:
        """The text of the place's line."""
        lines = self._text.split("\n", place.line or 1)
        return lines[(place.line or 1) - 1][:400]

    def _scan(self, root: _Want) -> None:
        text = _SURROGATE.sub(r"\\u003f", self._text) if self._json else self._text
        stack: list[_Open] = []
        for event in parser(text):
            kind = type(event)
            if kind in _ENDS:
                stack.pop()
                continue
            if kind not in _STARTS:
                continue
            want: _Want | None = root if not stack else None
            if stack:
                top = stack[-1]
                if top.index >= 0:
                    want = top.want.below.get(top.index) if top.want else None
                    top.index += 1
                    self._note(want, event)
                elif top.key:
                    want, top.key = top.child, False
                else:
                    top.key = True
                    key = getattr(event, "value", None)
                    top.child = top.want.below.get(key) if top.want and key is not None else None
                    self._note(top.child, event)
                    if kind in _NESTS:  # a key that is a list or map: refused when read, passed over here
                        want = None
            if kind in _NESTS:
                stack.append(_Open(want, 0 if kind is yaml.SequenceStartEvent else -1))

    def _note(self, want: _Want | None, event: Any) -> None:
        if want is not None and want.place is None:
            mark = event.start_mark
            want.place = Place(self._file, mark.line + 1, mark.column + 1)


_NESTS = frozenset((yaml.MappingStartEvent, yaml.SequenceStartEvent))
_STARTS = _NESTS | {yaml.ScalarEvent, yaml.AliasEvent}
_ENDS = frozenset((yaml.MappingEndEvent, yaml.SequenceEndEvent))


def _nearest(root: _Want, path: Path) -> Place:
    want, place = root, root.place
    for step in path:
        want = want.below[step]
        if want.place is None:
            break
        place = want.place
    assert place is not None
    return place
