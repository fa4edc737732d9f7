"""Writes JSON values as YAML that people like to read, and that every reader of YAML 1.1 or 1.2 takes for the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.engine.core.workflow import Json

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_/(](?:[\w ,./()<>=!&|+*'\"\[\]?-]*[\w)\]'\"./])?", re.ASCII)
_PLAIN_IN_FLOW = re.compile(r"[A-Za-z_/](?:[\w./-]| (?=[\w./]))*", re.ASCII)
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_UNIT = re.compile(r"(?:\d+(?:ms|[smhd]))+|\d+(?:\.\d+)?%", re.ASCII)
_TAKEN = frozenset(
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
)  # words with a meaning in some YAML
_PRINTABLE = re.compile(r"[\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def write_yaml(document: Mapping[str, Json]) -> str:
    """The document as block YAML with a line end at its end; small values stand in one line."""
    return "".join(f"{line}\n" for line in _block_map(document, 0))


def _block_map(value: Mapping[str, Any], indent: int) -> Iterator[str]:
    pad = " " * indent
    for key, item in value.items():
        yield from _entry(f"{pad}{_key(key)}:", item, indent)


def _entry(head: str, item: Json, indent: int) -> Iterator[str]:
    """A key or dash with its value: in its line where that is short, else below it."""
    if isinstance(item, str) and _fits_block_text(item):
        yield f"{head} |" + ("" if item.endswith("\n") else "-")
        pad = " " * (indent + 2)
        for line in item.removesuffix("\n").split("\n"):
            yield f"{pad}{line}" if line else ""
        return
    if not isinstance(item, dict | list) or not item:
        yield f"{head} {_flow(item, block=True)}"
        return
    flat = _flow(item) if _is_small(item) else None
    if flat is not None and len(head) + 1 + len(flat) <= _WIDTH:
        yield f"{head} {flat}"
        return
    yield head
    if isinstance(item, dict):
        yield from _block_map(item, indent + 2)
    else:
        for one in item:
            yield from _item(one, indent + 2)


def _item(one: Json, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(one, dict) and one and not _is_small(one):
        lines = _block_map(one, indent + 2)
        yield f"{pad}- {next(lines)[indent + 2 :]}"
        yield from lines
    else:
        yield from _entry(f"{pad}-", one, indent)


def _is_small(value: Json, depth: int = 0) -> bool:
    """Whether a value is worth one line: little, shallow, no text of several lines."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth < 3 and len(value) <= 12 and all(_is_small(item, depth + 1) for item in inner)
    return not isinstance(value, str) or "\n" not in value


def _flow(value: Json, *, block: bool = False) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return _text(value, block)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)


def _float(value: float) -> str:
    """With a dot, which YAML 1.1 wants in a float."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    sign = "" if exponent[0] in "+-" else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"


def _key(key: str) -> str:
    return _text(key, False) if key else '""'


def _text(text: str, block: bool) -> str:
    fits = (
        _FUNCTION.fullmatch(text)
        or _UNIT.fullmatch(text)
        or (_PLAIN if block else _PLAIN_IN_FLOW).fullmatch(text)
    )
    if fits and text.lower() not in _TAKEN:
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    """In double quotes, or in single ones where that saves escapes."""
    if ('"' in text or "\\" in text) and "'" not in text and _PRINTABLE.fullmatch(text):
        return f"'{text}'"
    escaped = json.dumps(text, ensure_ascii=False)
    return _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)


def _fits_block_text(text: str) -> bool:
    """Whether the text can stand below its key as it is: several lines that lose nothing by their indentation."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and text != "\n"
        and not text.endswith("\n\n")
        and bool(lines[0])
        and lines[0][0] not in " \t"
        and all(_PRINTABLE.fullmatch(line) and line == line.rstrip() for line in lines)
        and not any(line.startswith("\t") for line in lines)
    )
