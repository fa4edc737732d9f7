"""`headrace.dsl` offers all that `headrace.dsl.python` does, without importing it."""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

import headrace.dsl
from headrace.dsl import python


def test_every_name_of_the_python_language_is_there() -> None:
    assert set(python.__all__) <= set(headrace.dsl.__all__)


@pytest.mark.parametrize("name", sorted(python.__all__))
def test_each_is_the_same(name: str) -> None:
    assert getattr(headrace.dsl, name) is getattr(python, name)


def test_no_module_takes_the_place_of_a_name() -> None:
    assert not {module.name for module in iter_modules(headrace.dsl.__path__)} & set(python.__all__)
