"""What reading a small workflow file does not import: each of these costs more than the reading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("pydantic", "jsonschema", "cronsim", "hypothesis", "sqlalchemy", "litestar", "headrace.dsl.python")


def imported(code: str) -> set[str]:
    """Which of the heavy modules the code leaves in `sys.modules`."""
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_alone_imports_nothing() -> None:
    assert imported("import headrace.dsl") == set()


def test_a_small_file_needs_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "workflow: w\nparams: {day: {type: string, format: date, default: '2030-01-31'}, n: {type: integer}}\n"
        "tasks:\n  a: {shell: 'true', env: {D: '${{ params.day }}'}}\n  b: {python: 'm:f', depends_on: a, retry: 2}\n"
    )
    assert imported(f"from headrace.dsl.source import load, plan\nplan(load({str(path)!r})[0])") == set()


def test_every_name_of_the_package_is_there() -> None:
    code = "import headrace.dsl as dsl\nassert all(getattr(dsl, name) is not None for name in dsl.__all__)"
    assert "headrace.dsl.python" in imported(code)
