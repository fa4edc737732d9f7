"""The command: try the small changes of `changes` out, one by one, and say which no test notices.

    python -m tests.mutants.generated --count 200 --seed 6 MODULE ...

One process imports and collects everything once. Each trial is a fork of it, in which the code of one function is replaced; it
runs those tests that call the function, the quickest first, and ends with the first that fails. So a trial takes a fraction of
a second. What survives the examples is tried against the properties. docs/design/mutation.md has what this found.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from time import perf_counter, process_time
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from hypothesis.errors import HypothesisException

from tests.mutants.changes import Change, changes
from tests.mutants.mutant import CORE, ROOT

EXAMPLES = (
    "tests/unit/core/machine",
    "tests/unit/core/test_semantic_cases.py",
    "tests/properties/test_machine_found.py",
)
PROPERTIES = "tests/properties/test_machine.py"
PATIENCE = 30
"""Seconds of computing; who needs more is caught, and an example that takes a tenth of it is left out."""
MEMORY = 4 << 30
"""Bytes; who needs more is caught."""

_PYTEST = ("-q", "--no-header", "-s", "-W", "ignore::pytest.PytestAssertRewriteWarning")

MODULES = (
    "machine/attempts",
    "machine/branching",
    "machine/control",
    "machine/ending",
    "machine/judging",
    "machine/line",
    "machine/machine",
    "machine/maps",
    "machine/readiness",
    "machine/reruns",
    "machine/restoring",
    "machine/rule_expressions",
    "machine/tallies",
)
"""Those that decide, below engine/core."""


class Verdict(Enum):
    CAUGHT = "caught"
    BY_PROPERTIES = "caught by properties"
    SURVIVED = "SURVIVED"
    UNFIT = "cannot be put in"


class Trials:
    """A plugin of pytest: in place of one run of the tests, one for each change. `tell` hears what became of it."""

    def __init__(self, chosen: Sequence[Change], tell: Callable[[Change, Verdict], None]) -> None:
        self._chosen = chosen
        self._tell = tell
        self._examples: list[pytest.Item] = []
        self._properties: list[pytest.Item] = []
        self._calling: dict[str, list[pytest.Item]] = defaultdict(list)
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)
        self.sound = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in session.items:
            if item.nodeid.startswith(PROPERTIES):
                self._properties.append(item)
                _end_at_the_first_failure(item)
            else:
                self._examples.append(item)
        self.sound = self._look() and not _fails(self._properties)
        if self.sound:
            for each in gc.get_objects():
                if isinstance(each, FunctionType):
                    self._functions[_place(each.__code__)].append(each)
            gc.freeze()
            for change in self._chosen:
                self._tell(change, self._verdict(change))
        return True

    def _look(self) -> bool:
        """Run the examples once, in a fork, and see which of them call what; the quickest come first. Whether they pass."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            _quiet()
            with os.fdopen(write, "w") as pipe:
                json.dump([_called(item) for item in self._examples], pipe)
            os._exit(self._examples[0].session.testsfailed and 1)
        os.close(write)
        with os.fdopen(read) as pipe:
            seen = json.load(pipe)
        passed = os.waitpid(child, 0)[1] == 0
        for seconds, number in sorted((each[0], number) for number, each in enumerate(seen)):
            if seconds < PATIENCE / 10:
                for function in seen[number][1]:
                    self._calling[function].append(self._examples[number])
        return passed

    def _verdict(self, change: Change) -> Verdict:
        path = _path(change.module)
        code = change.code(_text(change.module), path)
        place = f"{path}:{code.co_firstlineno}"
        functions = self._functions[place]
        if not functions or any(each.__code__.co_freevars != code.co_freevars for each in functions):
            return Verdict.UNFIT

        def put_in() -> None:
            for function in functions:
                function.__code__ = code

        if _fails(self._calling[place], put_in):
            return Verdict.CAUGHT
        return Verdict.BY_PROPERTIES if _fails(self._properties, put_in) else Verdict.SURVIVED


def _fails(items: Sequence[pytest.Item], first: Callable[[], None] = lambda: None) -> bool:
    """Whether one of the tests fails, in a fork that begins with `first` and ends with the first failure."""
    child = os.fork()
    if not child:
        _quiet()
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        first()
        for item in items:
            _run(item)
            if item.session.testsfailed:
                os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def _run(item: pytest.Item) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _quiet() -> None:
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)


def _end_at_the_first_failure(item: pytest.Item) -> None:
    """Hypothesis would look for a smaller example."""
    property_ = item.obj.hypothesis  # type: ignore[attr-defined]
    inner = property_.inner_test

    def test(*given: Any, **named: Any) -> None:
        try:
            inner(*given, **named)
        except HypothesisException:
            raise
        except Exception:
            os._exit(1)

    property_.inner_test = test


def _called(item: pytest.Item) -> tuple[float, list[str]]:
    """Run a test: the seconds that it computes, and the functions of the core that it calls."""
    codes: set[CodeType] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    began = process_time()
    sys.setprofile(watch)
    try:
        _run(item)
    finally:
        sys.setprofile(None)
    core = str(ROOT / CORE)
    return process_time() - began, [_place(code) for code in codes if code.co_filename.startswith(core)]


def _place(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_firstlineno}"


def _path(module: str) -> Path:
    return ROOT / CORE / f"{module}.py"


@cache
def _text(module: str) -> str:
    """As it was when this process began, whoever edits it meanwhile."""
    return _path(module).read_text(encoding="utf-8")


def sample(modules: Sequence[str], count: int | None, seed: int) -> list[Change]:
    """So many changes, or all, in no order, so that a run that is cut short has seen all modules."""
    found = [change for module in modules for change in changes(module, _text(module))]
    return random.Random(seed).sample(found, min(count or len(found), len(found)))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants.generated", description="Small changes of the core, at every place."
    )
    parser.add_argument(
        "modules",
        nargs="*",
        default=MODULES,
        metavar="MODULE",
        help="below engine/core, such as machine/maps",
    )
    parser.add_argument("--count", type=int, help="none: all of them")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument(
        "--skip", type=int, default=0, help="so many of them: to go on with a run that was cut short"
    )
    parser.add_argument("--flights", default="60", help="of each property; the tests make more")
    asked = parser.parse_args(arguments)
    os.environ["HEADRACE_FLIGHTS"] = asked.flights
    began = perf_counter()
    became: Counter[Verdict] = Counter()

    def tell(change: Change, verdict: Verdict) -> None:
        became[verdict] += 1
        what = change.told(_text(change.module))
        print(
            f"{became.total():4} {perf_counter() - began:6.0f} s  {verdict.value:20} {what}",
            file=out,
            flush=True,
        )

    trials = Trials(sample(asked.modules, asked.count, asked.seed)[asked.skip :], tell)
    with os.fdopen(os.dup(1), "w") as out:
        pytest.main([*_PYTEST, *EXAMPLES, PROPERTIES], [trials])
        if not trials.sound:
            print("The tests fail although nothing is wrong.", file=out)
            return 1
        print(", ".join(f"{became[verdict]} {verdict.value}" for verdict in Verdict), file=out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
