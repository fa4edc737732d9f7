"""Reads YAML 1.2 into plain JSON values, strictly: one document, no tags, no merge keys, no key twice, text keys only.

The parser is libyaml's, event by event; the values are made here, so that the core schema of YAML 1.2 holds exactly and
everything that is refused is refused with its place, all at once. Aliases share what they name, and what they would
multiply is counted, so that no document costs more than its text promises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from headrace.dsl.places import is_task_map, parser
from headrace.dsl.quoting import comment_hint, quoting_hint
from headrace.dsl.reading import INTEGERS, MAX_DEPTH
from headrace.dsl.words import describe, show
from headrace.engine.core.problems import Path, Place, Problem

_FREE_ALIASES = 100_000  # nodes that aliases may add to any file; beyond, ten times what is written
_MOST_PROBLEMS = 100
_LONGEST_KEY = 1_024  # of a key on one line: a bound that YAML itself sets

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAYBE_NUMBER = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)


class Read(NamedTuple):
    """What a text says (as far as it could be read) and what is wrong with how it is written."""

    value: Any
    problems: tuple[Problem, ...]


class _Unreadable(Exception):
    """Nothing sensible can follow: the problem is recorded already."""


@dataclass(slots=True)
class _Frame:
    """A list or map being filled."""

    value: Any
    anchor: str | None
    key: str | None = None  # of a map: the key whose value comes next; None while a key is awaited
    size: int = 1  # nodes in it, aliases counted in full
    doomed: bool = False  # the next value belongs to a refused key and is dropped


def read_yaml(text: str, file: str | None = None) -> Read:
    """The value of a YAML text and every problem of its writing (codes parse_error, duplicate_key, duplicate_task,
    too_large), each with its place. With problems the value is what remains readable; None when nothing is."""
    return _Composer(text, file).read()


@dataclass(slots=True)
class _Composer:
    text: str
    file: str | None
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    written: int = 0
    added: int = 0
    result: Any = None

    def read(self) -> Read:
        try:
            self._follow(parser(self.text))
        except _Unreadable:
            return Read(None, tuple(self.problems))
        except yaml.MarkedYAMLError as error:
            self._syntax_error(error)
            return Read(None, tuple(self.problems))
        except yaml.reader.ReaderError as error:
            place = self._position(error.position)
            self.problems.append(
                _parse_error(f"{error.reason}: {_code_point(error.character)}.", None, place)
            )
            return Read(None, tuple(self.problems))
        return Read(self.result, tuple(self.problems))

    def _follow(self, events: Iterator[Any]) -> None:
        documents = 0
        stack = self.stack
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self.written += 1
                frame = stack[-1] if stack else None
                awaits_key = frame is not None and frame.key is None and type(frame.value) is dict
                value = self._scalar(event, is_key=awaits_key)
                if event.anchor is not None:
                    self.anchors[event.anchor] = (value, 1)
                if awaits_key:
                    assert frame is not None
                    self._take_key(frame, value, event)
                else:
                    self._put(value, 1)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self.written += 1
                self._open({} if kind is yaml.MappingStartEvent else [], event)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                frame = stack.pop()
                if frame.anchor is not None:
                    self.anchors[frame.anchor] = (frame.value, frame.size)
                self._put(frame.value, frame.size)
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._refuse(
                        "a second document begins; a file holds one workflow.", event, "Split the file."
                    )
                    raise _Unreadable

    def _open(self, value: Any, event: Any) -> None:
        if event.tag is not None:
            self._tag(event)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and type(frame.value) is dict:
            self._refuse(
                f"a key must be text, not {describe(value)}.", event, quoting_hint(self._line(event))
            )
            raise _Unreadable
        if len(self.stack) >= MAX_DEPTH:
            self._refuse(f"maps and lists nest more than {MAX_DEPTH} deep.", event, None)
            raise _Unreadable
        self.stack.append(_Frame(value, event.anchor))

    def _put(self, value: Any, size: int) -> None:
        if not self.stack:
            self.result = value
            return
        frame = self.stack[-1]
        frame.size += size
        if type(frame.value) is list:
            frame.value.append(value)
            return
        if not frame.doomed:
            frame.value[frame.key] = value
        frame.key = None
        frame.doomed = False

    def _take_key(self, frame: _Frame, key: Any, event: Any) -> None:
        """Makes `key` the one whose value comes next; `event` is the scalar, or the alias of one, that says it."""
        frame.size += 1
        alias = type(event) is yaml.AliasEvent
        if not isinstance(key, str):
            hint = "Write the key out." if alias else "Write a key before the colon."
            if not alias and event.value:
                hint = f'Quote it: "{event.value}".'
            self._refuse(f"a key must be text, not {describe(key)}.", event, hint)
            frame.key, frame.doomed = describe(key), True
            return
        frame.key = key
        if key == "<<" and not alias and event.implicit[0]:
            self._refuse(
                "merge keys (<<) are not part of YAML 1.2.",
                event,
                "Write the keys out, put them into `defaults`, or use a plain alias for a whole value.",
            )
            frame.doomed = True
        elif key in frame.value:
            frame.doomed = True
            path = self._path()
            task = is_task_map(path[:-1])
            what = f"the task {show(key)} is defined" if task else f"the key {show(key)} stands here"
            self._refuse(
                f"{what} twice.",
                event,
                "Rename one." if task else "Keep one of the two.",
                code="duplicate_task" if task else "duplicate_key",
                task=key if task else None,
            )

    def _alias(self, event: Any) -> None:
        found = self.anchors.get(event.anchor)
        if found is None:
            hint = quoting_hint(self._line(event))
            self._refuse(f"*{event.anchor} names an anchor that is not defined above.", event, hint)
            found = (None, 1)
        value, size = found
        self.added += size
        if self.added > max(_FREE_ALIASES, 10 * self.written):
            self._refuse(
                f"aliases multiply this file to more than {self.added:,} values.",
                event,
                "Write the data to a file that a task reads.",
                code="too_large",
            )
            raise _Unreadable
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and type(frame.value) is dict:
            self._take_key(frame, value, event)
        else:
            self._put(value, size)

    def _scalar(self, event: Any, *, is_key: bool) -> Any:
        text: str = event.value
        plain, _ = event.implicit
        if event.tag is not None:
            self._tag(event)
            return text
        if not plain:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text[0] not in _MAYBE_NUMBER:
            return text
        return self._number(text, event)

    def _number(self, text: str, event: Any) -> Any:
        if _INTEGER.fullmatch(text):
            digits = text.lstrip("+-")
            if len(digits) > 1 and digits[0] == "0":
                self._refuse(
                    f"{text[:40]} begins with 0: YAML readers disagree whether that is octal.",
                    event,
                    f'Quote it ("{text[:40]}"), write it without the 0, or as 0o{digits[1:][:40]}.',
                )
                return 0
            if len(digits) > 19 or (number := int(text)) not in INTEGERS:
                self._refuse(
                    f"{show(text)} is an integer beyond 64 bits.", event, "Write it as text, in quotes."
                )
                return 0
            return number
        if _BASED.fullmatch(text):
            number = int(text, 0) if len(text) <= 24 else 2**64
            if number not in INTEGERS:
                self._refuse(
                    f"{show(text)} is an integer beyond 64 bits.", event, "Write it as text, in quotes."
                )
                return 0
            return number
        if _FLOAT.fullmatch(text):
            value = float(text)
            if value in (float("inf"), float("-inf")):
                self._refuse(
                    f"{show(text)} is a number too large to hold.", event, "Write it as text, in quotes."
                )
                return 0.0
            return value
        if _NOT_FINITE.fullmatch(text):
            self._refuse(
                f"{text} is no JSON value.",
                event,
                "Leave it out or use null; quote it where it is meant as text.",
            )
            return 0.0
        return text

    # -- what is wrong, and where ------------------------------------------------------------------------------------

    def _path(self) -> Path:
        """Where in the document the parser is: the keys and positions of the open lists and maps."""
        return tuple(
            len(frame.value) if frame.key is None else frame.key
            for frame in self.stack
            if type(frame.value) is list or frame.key is not None
        )

    def _tag(self, event: Any) -> None:
        line = self._line(event)
        hint = quoting_hint(line) if event.tag.startswith("!") and not event.tag.startswith("!!") else None
        self._refuse(
            f"{show(event.tag)} is a YAML tag; tags are not allowed.",
            event,
            hint or "Leave it out; quote the value where it is meant as text.",
        )

    def _refuse(
        self,
        message: str,
        event: Any,
        hint: str | None,
        *,
        code: str = "parse_error",
        task: str | None = None,
    ) -> None:
        mark = event.start_mark
        place = Place(self.file, mark.line + 1, mark.column + 1)
        self.problems.append(Problem(code, message, hint, self._path(), task, place))
        if len(self.problems) >= _MOST_PROBLEMS:
            raise _Unreadable

    def _syntax_error(self, error: Any) -> None:
        mark = error.problem_mark or error.context_mark
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        line = self._text_line(mark.line) if mark else ""
        hint = quoting_hint(line)
        if "\t" in line[: len(line) - len(line.lstrip())]:
            hint = "Indent with spaces: YAML forbids tabs there."
        elif mark and mark.column > _LONGEST_KEY and error.problem.startswith("mapping values"):
            hint = f"A key may have at most {_LONGEST_KEY:,} characters."
        elif hint is None and error.context_mark and error.context_mark.line != mark.line:
            start = error.context_mark
            hint = f"It began in line {start.line + 1}, column {start.column + 1}."
            if cut := comment_hint(self._text_line(start.line)):
                hint = f"{hint} {cut}"
        context = f" ({error.context})" if error.context else ""
        self.problems.append(_parse_error(f"this is not YAML: {error.problem}{context}.", hint, place))

    def _line(self, event: Any) -> str:
        return self._text_line(event.start_mark.line)

    def _text_line(self, number: int) -> str:
        """Line `number` (from 0) as the parser counts lines, cut at what a message can use."""
        start = 0
        for match in _LINE_END.finditer(self.text):
            if number == 0:
                return self.text[start : match.start()][:400]
            number -= 1
            start = match.end()
        return self.text[start : start + 400] if number == 0 else ""

    def _position(self, offset: int) -> Place:
        """The place of the character that libyaml's reader counts as `offset`, in bytes or characters."""
        match = _CONTROL.search(self.text)
        at = match.start() if match else min(offset, len(self.text))
        line_start = self.text.rfind("\n", 0, at) + 1
        return Place(self.file, self.text.count("\n", 0, at) + 1, at - line_start + 1)


_LINE_END = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_CONTROL = re.compile(r"[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _parse_error(message: str, hint: str | None, place: Place) -> Problem:
    return Problem("parse_error", message, hint, place=place)


def _code_point(character: Any) -> str:
    number = character if isinstance(character, int) else ord(character)
    return f"U+{number:04X}"
