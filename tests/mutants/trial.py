"""Trials: each mutant is put into a copy of the sources, and its test is run there. The checkout is never touched.

A test is run in a fork of this process, which has imported what takes long and is nobody's mutant: other people's packages.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import NoReturn

import pytest

from tests.mutants.mutant import ROOT, Mutant, Rotten

PARTS = ("engine", "dsl", "runners", "api")
COPIED = (*PARTS, "tests", "examples", "docs", "pyproject.toml", "README.md")
PATIENCE = 120.0
"""Seconds after which a test that has not ended counts as failed: a lost wake-up may show itself so."""

_FAILED, _PASSED = 1, 0  # exit codes of pytest
_PYTEST = ("-x", "-q", "--no-header", "--tb=line", "-W", "ignore::pytest.PytestAssertRewriteWarning")
_SLOW_TO_IMPORT = (
    "hypothesis.strategies",
    "msgspec",
    "networkx",
    "schemathesis.pytest",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.ext.asyncio",
)


class Verdict(Enum):
    CAUGHT = "caught"
    HUNG = "caught, by hanging"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"

    @property
    def good(self) -> bool:
        return self in (Verdict.CAUGHT, Verdict.HUNG)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant, in so many seconds. `told`: the end of what pytest said, where that is of use."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    told: str = ""


class Bench:
    """A copy of the sources, in which one mutant at a time lives."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._applied = 0

    def try_out(self, mutant: Mutant) -> Result:
        """Put the fault in, run the test that must catch it, take the fault out."""
        began = monotonic()
        path = self.root / mutant.file
        sound, stat = path.read_bytes(), path.stat()
        try:
            path.write_text(mutant.applied(self.root), encoding="utf-8")
            self._applied += 1
            # Python knows a compiled module by its size and the second of its last change.
            os.utime(path, (stat.st_atime, int(stat.st_mtime) + self._applied))
            code, told = self.run(mutant.test)
        except Rotten as rotten:
            return Result(mutant, Verdict.BROKEN, monotonic() - began, str(rotten))
        except TimeoutError:
            return Result(mutant, Verdict.HUNG, monotonic() - began)
        finally:
            path.write_bytes(sound)
            os.utime(path, (stat.st_atime, stat.st_mtime))
        verdict = {_FAILED: Verdict.CAUGHT, _PASSED: Verdict.SURVIVED}.get(code, Verdict.BROKEN)
        return Result(mutant, verdict, monotonic() - began, told)

    def run(self, *tests: str) -> tuple[int, str]:
        """pytest's exit code and its last lines, of tests that see this copy and nothing else.

        Raises TimeoutError.
        """
        said = self.root / "said"
        child = os.fork()
        if not child:
            os.setsid()
            self._become(said, tests)
        ends = monotonic() + PATIENCE
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                return os.waitstatus_to_exitcode(status), "\n".join(lines[-15:])
            if monotonic() > ends:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError
            sleep(0.02)

    def _become(self, said: Path, tests: Sequence[str]) -> NoReturn:
        """In the fork: run the tests, and end."""
        code = 70
        try:
            with open(said, "wb") as to:
                os.dup2(to.fileno(), 1)
                os.dup2(to.fileno(), 2)
            parts = [str(self.root / part) for part in PARTS]
            os.environ["PYTHONPATH"] = os.pathsep.join(parts)
            os.chdir(self.root)
            for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
                del sys.modules[name]
            sys.path[:0] = [str(self.root), *parts]
            code = int(pytest.main([*_PYTEST, *tests]))
        finally:
            sys.stdout.flush()
            os._exit(code)


@contextmanager
def bench() -> Iterator[Bench]:
    """A fresh copy, gone afterwards."""
    for name in _SLOW_TO_IMPORT:
        import_module(name)
    with TemporaryDirectory(prefix="headrace-mutants-") as folder:
        root = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy2(source, root / name)
        yield Bench(root)


def sound_first(at: Bench, mutants: Sequence[Mutant]) -> str | None:
    """Whether the named tests pass while nothing is wrong: else failing says nothing. None, or what pytest said."""
    code, told = at.run(*sorted({mutant.test for mutant in mutants}))
    return None if code == _PASSED else told
