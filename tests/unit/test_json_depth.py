"""How deep a JSON text is, found out without decoding it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.limits import too_deep


def depth(value: Any) -> int:
    """Levels of lists and objects."""
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


values = st.recursive(
    st.text(alphabet='[]{}"\\a,:\n') | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\'), inner, max_size=3)
    ),
    max_leaves=30,
)


@given(values, st.integers(1, 12), st.sampled_from([None, 2]))
def test_it_is_exact_for_what_is_json(value: Any, deepest: int, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert too_deep(text, deepest) == (depth(value) > deepest)


@pytest.mark.parametrize("opens", [b"[", b'{"a":', b'[{"a":'])
def test_what_never_closes_is_deep(opens: bytes) -> None:
    assert too_deep(opens * 1000)
    assert not too_deep(opens * 20)


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b'\\"' * 500_000,
        b'"' * 999_999,
        b'"\\' * 500_000,
        b"[" * 500_000 + b"]" * 500_000,
        b"[]" * 500_000,
    ],
)
def test_no_text_takes_long(text: bytes) -> None:
    """Quadratic would be hours: the test would not end."""
    too_deep(b"[" * 100 + text)
    too_deep(b"[" * 100 + text + b"\\")
