"""The hint for a value that YAML misreads because it is not quoted: it shows the line as it should be written."""

from __future__ import annotations

import re

_ENTRY = re.compile(r"(?P<lead>\s*(?:-\s+)*)(?P<key>[A-Za-z_][\w.-]*:\s+)?(?P<value>\S.*?)\s*$")
_SPECIAL = frozenset("!*&%@`")
_ENTRY_IN_FLOW = re.compile(
    r"""(?P<key>[A-Za-z_][\w.-]*:\s+)(?P<value>(?![*&][\w.-]+\s*[,}\]])[!*&%@`][^,}\]]*|[^\s"'{}\[\],:][^"',}\]:]*:\s[^,}\]]*)"""
)
_TEMPLATE_IN_FLOW = re.compile(r"""[\[{,:]\s*[^\s"'\[{,]*\$\{\{""")


def quoting_hint(line: str) -> str | None:
    """`Quote it: when: "!has(params.x)".` for a line whose value needs quotes; None when that is not the trouble."""
    found = _ENTRY.match(line)
    if found is None:
        return None
    key, value = found["key"] or "", found["value"]
    if value.startswith("#"):
        return None
    if value[0] in "{[":
        if _TEMPLATE_IN_FLOW.search(value):
            return 'Inside { } and [ ] a template must be quoted: {x: "${{ … }}"}.'
        inner = _ENTRY_IN_FLOW.search(value)
        return f"Quote it: {inner['key']}{quoted(inner['value'].rstrip())}." if inner else None
    if value[0] in "\"'":
        closed = value.find(value[0], 1)
        if 0 < closed < len(value) - 1 and not value[closed + 1 :].lstrip().startswith("#"):
            return f"Quote the whole value: {key}{quoted(value)}."
        return None
    if value[0] in _SPECIAL or (key and (": " in value or value.endswith(":"))):
        return f"Quote it: {key}{quoted(value)}."
    return None


def comment_hint(line: str) -> str | None:
    """The hint for an unquoted value that ` #` has cut short."""
    found = _ENTRY.match(line)
    if found is None or found["value"][0] in "\"'#" or " #" not in found["value"]:
        return None
    if found["value"][0] in "{[":
        return "YAML takes ` #` for a comment. Quote the text that holds it."
    return f"YAML takes ` #` for a comment. Quote it: {found['key'] or ''}{quoted(found['value'])}."


def quoted(value: str) -> str:
    """The text as a YAML scalar in quotes: double ones, or single ones where it holds double ones or backslashes."""
    if '"' in value or "\\" in value:
        return "'" + value.replace("'", "''") + "'"
    return f'"{value}"'
