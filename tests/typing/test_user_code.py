"""User code under mypy --strict: what is right passes, what is wrong is caught at its line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"
ROOT = Path(__file__).parents[2]

_ERROR = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*?)\s+\[(?P<code>[\w-]+)\]")

Found = dict[str, set[tuple[int, str]]]


@pytest.fixture(scope="module")
def found() -> Found:
    """What mypy says of the samples: file → line and code of every error."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(
        [*command, *map(str, sorted(SAMPLES.glob("*.py")))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    errors: Found = {}
    for match in _ERROR.finditer(done.stdout):
        errors.setdefault(Path(match["file"]).name, set()).add((int(match["line"]), match["code"]))
    return errors


def _expected(sample: Path) -> set[tuple[int, str]]:
    return {
        (number, code)
        for number, line in enumerate(sample.read_text().splitlines(), 1)
        if (marked := re.search(r"# E: (.+)", line))
        for code in marked[1].split()
    }


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_mypy_says_what_is_marked_and_nothing_else(found: Found, sample: Path) -> None:
    assert found.get(sample.name, set()) == _expected(sample)


def test_there_are_mistakes_to_find() -> None:
    assert len(_expected(SAMPLES / "mistakes.py")) > 15
