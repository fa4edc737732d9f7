"""The lexer: CEL text into tokens with offsets, and tokens back into the one canonical text.

Literals are told by value, so `'day'`, `"day"` and `r'day'` are the same token; comments and blanks are none.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from headrace.engine.core.expressions.problems import ExpressionProblem

MAX_BYTES = 4096
"""The longest expression, in bytes of UTF-8."""

MAX_INT = 2**63 - 1

RESERVED = frozenset({"in", "true", "false", "null"})
"""Words that are never names: after a path they are written `["in"]`."""


class Token(NamedTuple):
    """`kind`: name, int, double, string, bytes, or the operator itself; `end` for the end of the text."""

    kind: str
    value: str | bytes | int | float | None
    start: int
    end: int


_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r\n\f]+|//[^\n]*)
  | (?P<string>[bB]?[rR]?(?:\"{3}|'{3}|["']))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<int>0[xX][0-9a-fA-F]+|[0-9]+)
  | (?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,(){}\[\]])
    """,
    re.VERBOSE,
)
_BODY = {  # (quote, raw) → what stands between the quotes
    (quote, raw): re.compile(
        (r"(?:.|\n)*?" if raw else r"(?:[^\\]|\\(?:.|\n))*?") + quote
        if len(quote) == 3
        else (rf"[^{quote}\r\n]*" if raw else rf"(?:[^{quote}\\\r\n]|\\.)*") + quote
    )
    for quote in ('"""', "'''", '"', "'")
    for raw in (True, False)
}
_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.|\n)|$)"
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}
_MEANT = {"&": "&&", "|": "||", "=": "=="}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_name(key: object) -> bool:
    """Whether a key may be written `.key` after a path."""
    return isinstance(key, str) and _NAME.fullmatch(key) is not None and key not in RESERVED


def scan(text: str, start: int = 0, *, piece: bool = False) -> tuple[list[Token], int]:
    """All tokens from `start`, ended by an `end` token, and where reading stopped.

    With `piece`, reading stops behind the first `}}` that is outside quotes and braces. Raises ExpressionProblem
    for what is no CEL token, for text over MAX_BYTES, and for a piece without its `}}`.
    """
    if not piece:
        _check_length(text, start)
    tokens: list[Token] = []
    at, braces, size = start, 0, len(text)
    match = _TOKEN.match
    while at < size:
        found = match(text, at)
        if found is None:
            raise _unreadable(text, at)
        kind, end = found.lastgroup, found.end()
        if kind == "op":
            op = found[0]
            if op == "{":
                braces += 1
            elif op == "}":
                if piece and not braces:
                    if text.startswith("}}", at):
                        _check_length(text[start:at], 0)
                        tokens.append(Token("end", None, at, at))
                        return tokens, at + 2
                    raise ExpressionProblem(
                        "a single `}` ends nothing here.", "A piece is closed by `}}`.", at
                    )
                braces -= 1
            tokens.append(Token(op, None, at, end))
        elif kind == "name":
            tokens.append(Token("name", found[0], at, end))
        elif kind == "string":
            token = _string(text, at, found[0])
            tokens.append(token)
            end = token.end
        elif kind != "blank":
            tokens.append(_number(text, at, end, kind == "double"))
        if end - start > MAX_BYTES:
            _check_length(text[start:end], 0)
        at = end
    if piece:
        raise ExpressionProblem(
            "`${{` is not closed by `}}`.", "`${{ '${{' }}` writes it literally.", max(start - 3, 0)
        )
    tokens.append(Token("end", None, size, size))
    return tokens, size


def _check_length(text: str, start: int) -> None:
    if len(text) - start <= MAX_BYTES // 4:
        return
    size = len(text[start:].encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise ExpressionProblem(
            f"the expression is {size} bytes long; at most {MAX_BYTES} are allowed.",
            "Compute this in a task and refer to its output.",
            start,
        )


def _unreadable(text: str, at: int) -> ExpressionProblem:
    char = text[at]
    if char in _MEANT:
        return ExpressionProblem(f"`{char}` is no operator.", f"Did you mean `{_MEANT[char]}`?", at)
    if char == "$":
        return ExpressionProblem(
            "`$` is no part of an expression.", "`${{` must not stand inside a piece.", at
        )
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    return ExpressionProblem(f"`{shown}` is no part of an expression.", None, at)


def _number(text: str, start: int, end: int, double: bool) -> Token:
    source = text[start:end]
    after = text[end : end + 1]
    if after and after in "uU":
        raise ExpressionProblem(
            f"`{source}u`: unsigned numbers are not supported.", f"Write {source}.", start
        )
    if after == "_" or after.isalnum():
        raise ExpressionProblem(f"`{source}{after}` is neither a number nor a name.", None, start)
    if double:
        number = float(source)
        if math.isinf(number):
            raise ExpressionProblem(f"{source} is too large for a double.", None, start)
        return Token("double", number, start, end)
    if len(source) > 40:
        raise ExpressionProblem("this integer does not fit into 64 bits.", None, start)
    value = int(source, 16) if source[:2] in ("0x", "0X") else int(source)
    if value > MAX_INT + 1:  # the parser refuses MAX_INT + 1 where no minus precedes it
        raise ExpressionProblem(f"{source} does not fit into 64 bits.", None, start)
    return Token("int", value, start, end)


def _string(text: str, start: int, opening: str) -> Token:
    quote = opening.lstrip("bBrR")
    prefix = opening[: -len(quote)].lower()
    raw, binary = "r" in prefix, "b" in prefix
    begin = start + len(opening)
    found = _BODY[quote, raw].match(text, begin)
    if found is None:
        raise ExpressionProblem(f"a string that begins with {quote} is not closed.", None, start)
    content = text[begin : found.end() - len(quote)]
    try:
        content.encode()
    except UnicodeEncodeError:
        raise ExpressionProblem("a string holds a lone surrogate.", None, start) from None
    if binary:
        return Token(
            "bytes", content.encode() if raw else _unescape_bytes(content, begin), start, found.end()
        )
    return Token("string", content if raw else _unescape(content, begin), start, found.end())


def _unescape(content: str, begin: int) -> str:
    if "\\" not in content:
        return content

    def one(found: re.Match[str]) -> str:
        short, long, hexadecimal, octal, simple = found.groups()
        if simple is not None or found[0] == "\\":
            if simple not in _SIMPLE:
                raise _bad_escape(found, begin)
            return _SIMPLE[simple]
        code = int(octal, 8) if octal else int(short or long or hexadecimal, 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise _bad_escape(found, begin)
        return chr(code)

    return _ESCAPE.sub(one, content)


def _unescape_bytes(content: str, begin: int) -> bytes:
    parts: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(content):
        parts.append(content[at : found.start()].encode())
        _, _, hexadecimal, octal, simple = found.groups()
        if simple is not None and simple in _SIMPLE:
            parts.append(_SIMPLE[simple].encode())
        elif hexadecimal or octal:
            parts.append(bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)]))
        else:
            raise _bad_escape(found, begin)
        at = found.end()
    parts.append(content[at:].encode())
    return b"".join(parts)


def _bad_escape(found: re.Match[str], begin: int) -> ExpressionProblem:
    return ExpressionProblem(
        f"`{found[0]}` is no escape of CEL.",
        r"Write `\\` for a backslash, or a raw string: r'…'.",
        begin + found.start(),
    )


# canonical text -------------------------------------------------------------------------------------------------


def canonical(tokens: Sequence[Token]) -> str:
    """The tokens as one text: no blanks but between two words, literals in one spelling, `a["b"]` as `a.b`."""
    written: list[str] = []
    word = False  # whether the text so far ends in a letter, digit or underscore
    at = 0
    while (token := tokens[at]).kind != "end":
        if token.kind == "[" and at and _ends_operand(tokens[at - 1]):
            key, close = tokens[at + 1], tokens[min(at + 2, len(tokens) - 1)]
            if key.kind == "string" and close.kind == "]" and is_name(key.value):
                written.append("." + str(key.value))
                word, at = True, at + 3
                continue
        text = spell(token)
        if word and (text[0].isalnum() or text[0] == "_"):
            written.append(" ")
        written.append(text)
        word = text[-1].isalnum() or text[-1] == "_"
        at += 1
    return "".join(written)


def spell(token: Token) -> str:
    """One token in its canonical spelling."""
    value = token.value
    if token.kind == "name":
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bytes):
        return 'b"' + "".join(_byte(code) for code in value) + '"'
    return token.kind if value is None else repr(value)


def quote(text: str) -> str:
    """A string as a CEL literal: the spelling of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _byte(code: int) -> str:
    return chr(code) if 32 <= code < 127 and code not in b'"\\' else f"\\x{code:02x}"


def _ends_operand(token: Token) -> bool:
    return token.kind in (")", "]", "}") or (token.kind == "name" and token.value not in RESERVED)
