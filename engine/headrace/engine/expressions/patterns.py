"""Regular expressions in time linear in the text: the automata of the `regex` crate, with a price set beforehand.

Python's own `re` backtracks and can be made to run for ever. pydantic's core carries the crate (it is RE2's syntax,
without look-around and back-references), and is imported only when an expression uses `matches`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.work import Work

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

MAX_PATTERN = 1000
"""Characters of a pattern."""

_COMPILE = 500  # units for any pattern
_COMPILE_ATOM = 5  # for each character or class of the expanded pattern
_COMPILE_UNICODE = 4000  # for each class of Unicode among them: hundreds of ranges each
_STEP = 16  # atom steps, at worst one for every character of the text, to a unit

_LEX = re.compile(
    r"""
    (?P<unicode>\\[wWdDsSbB]|\\[pP](?:\{[^}]*\}|.))
  | (?P<plain>\\(?:x\{[^}]*\}|.)|[^\\\[(){|*+?])
  | (?P<set>\[\^?\]?(?:\\.|\[:[^\]]*:\]|[^\]\\])*\])
  | (?P<flags>\(\?[a-zA-Z-]*\))
  | (?P<open>\((?:\?(?:P?<[^>]*>|[a-zA-Z-]*:))?)
  | (?P<close>\))
  | \{(?P<least>[0-9]{1,6})(?P<range>,(?P<most>[0-9]{1,6})?)?\}
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_UNICODE_SET = re.compile(r"\\[wWdDsSpP]")


def matches(work: Work, source: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises Fault for what is no pattern, or too costly a one."""
    atoms, wide = _size(pattern)
    compiled = work.patterns.get(pattern)
    if compiled is None:
        work.spend(_COMPILE + _COMPILE_ATOM * atoms + _COMPILE_UNICODE * wide)
        compiled = work.patterns[pattern] = _compiled(pattern)
    work.spend(5 + len(source) * (1 + atoms) // _STEP)
    if isinstance(compiled, str):
        raise Fault(compiled)
    return bool(compiled.isinstance_python(source))


@lru_cache(maxsize=1024)
def _size(pattern: str) -> tuple[int, int]:
    """An upper bound of the atoms of the pattern with its repetitions written out, and of those that are Unicode."""
    if len(pattern) > MAX_PATTERN:
        raise Fault(f"the pattern is longer than {MAX_PATTERN} characters")
    groups: list[tuple[int, int]] = []
    atoms = wide = 0  # of the group being read
    last = (0, 0)  # what a repetition would multiply
    for found in _LEX.finditer(pattern):
        which = found.lastgroup
        if which == "open":
            groups.append((atoms, wide))
            atoms, wide, last = 0, 0, (0, 0)
        elif which == "close":
            inner = (atoms + 1, wide)
            outer = groups.pop() if groups else (0, 0)
            atoms, wide, last = outer[0] + inner[0], outer[1] + inner[1], inner
        elif found["least"] is not None:
            times = max(int(found["least"]), int(found["most"] or 0), 1)
            more = (last[0] * (times - 1), last[1] * (times - 1))
            atoms, wide, last = atoms + more[0], wide + more[1], (last[0] + more[0], last[1] + more[1])
        elif which != "flags":
            is_wide = which == "unicode" or (which == "set" and _UNICODE_SET.search(found[0]) is not None)
            last = (1, int(is_wide)) if found[0] not in "*+?" else last
            atoms, wide = atoms + 1, wide + int(is_wide)
    while groups:  # unclosed: no pattern, but priced all the same
        outer = groups.pop()
        atoms, wide = atoms + outer[0], wide + outer[1]
    return (2 * atoms, 2 * wide) if re.search(r"\(\?[a-zA-Z-]*i", pattern) else (atoms, wide)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator | str:
    """The automaton, or why there is none. `Work` keeps it too: one judgement never compiles a pattern twice."""
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        last = str(error).strip().rpartition("error:")[2].strip().splitlines()[0]
        return f"the pattern is no regular expression: {last[:200]}"
