"""Everything that is wrong with a body at once: msgspec itself stops at the first. No Litestar here."""

from __future__ import annotations

import re
import types
import typing
from typing import Any

import msgspec

_AT = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
DEEPEST = 8


def wrongs(kind: Any, value: Any, field: str = "", depth: int = 0) -> list[dict[str, str]]:
    """The fields of a decoded JSON value that do not fit, each with its path and what is wrong; none when all fit."""
    struct = _struct_of(kind)
    if struct is None or not isinstance(value, dict) or depth >= DEEPEST:
        return _first(kind, value, field)
    found: list[dict[str, str]] = []
    fields = {one.encode_name: one for one in msgspec.structs.fields(struct)}
    for name, one in fields.items():
        if name in value:
            found += wrongs(one.type, value[name], f"{field}.{name}" if field else name, depth + 1)
        elif one.required:
            found.append({"field": f"{field}.{name}" if field else name, "message": "It is missing."})
    if struct.__struct_config__.forbid_unknown_fields:
        for name in value.keys() - fields.keys():
            path = f"{field}.{name}" if field else name
            found.append({"field": path[:200], "message": "There is no such field."})
    return sorted(found, key=lambda one: one["field"]) or _first(kind, value, field)


def _first(kind: Any, value: Any, field: str) -> list[dict[str, str]]:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        said = _AT.match(str(error))
        assert said is not None
        path = f"{field}{said[2] or ''}".lstrip(".")
        return [{"field": path, "message": f"{said[1]}."}]
    return []


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a type is, alone or beside null and unset."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        structs = [found for one in typing.get_args(kind) if (found := _struct_of(one)) is not None]
        return structs[0] if len(structs) == 1 else None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag is None:
        return kind
    return None
