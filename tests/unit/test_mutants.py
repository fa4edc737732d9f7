"""The list of mutants stays true: each still fits the code, and the test that must catch it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant
from tests.mutants.mutant import Rotten


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_and_its_test_is_there(mutant: Mutant) -> None:
    mutant.applied()
    mutant.check_test()
    assert mutant.why.endswith(".")


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 60


def fault(old: str = "b = 2", new: str = "b = 3", test: str = "t.py::test_it") -> Mutant:
    return Mutant("m", "m.py", old, new, test, "It matters.")


@pytest.mark.parametrize(
    ("mutant", "says"),
    [
        (fault(old="c = 3"), "0 times"),
        (fault(old=" = "), "2 times"),
        (fault(new="b = 2"), "nothing is changed"),
        (fault(new="b = ="), "cannot be read"),
    ],
)
def test_one_that_does_not_fit_says_how(tmp_path: Path, mutant: Mutant, says: str) -> None:
    (tmp_path / "m.py").write_text("a = 1\nb = 2\n")
    with pytest.raises(Rotten, match=says):
        mutant.applied(tmp_path)


@pytest.mark.parametrize(
    "test", ["u.py::test_it", "t.py::test_that", "t.py::Some::test_it", "t.py::helper", "t.py"]
)
def test_a_test_that_is_not_there_is_missed(tmp_path: Path, test: str) -> None:
    (tmp_path / "t.py").write_text("def helper(): ...\ndef test_it(): ...\nclass Some: ...\n")
    fault().check_test(tmp_path)
    with pytest.raises(Rotten):
        fault(test=test).check_test(tmp_path)
