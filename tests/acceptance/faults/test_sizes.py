"""Files that are too much: refused at once and in little memory, or carried."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal, refused

MIB = 1 << 20
SMALL = flow("  a: {noop: {}}\n")


@pytest.fixture
def bounded(headrace: Terminal) -> Bounded:
    return Bounded(headrace)


class Bounded:
    """Judges a hostile file beside a small one: the difference is what the file cost."""

    def __init__(self, headrace: Terminal) -> None:
        self.headrace = headrace
        headrace.write("small.yaml", SMALL)
        self.small = headrace.measured("validate", "small.yaml")
        assert self.small.status == 0

    def refuses(self, name: str, *said: str, stdin: Path | None = None) -> None:
        done = self.headrace.measured("run" if stdin is None else "validate", name, stdin=stdin)
        refused(done, *said)
        assert done.worked - self.small.worked < 2.0
        assert done.peak - self.small.peak <= 64 * MIB
        assert len(done.err) < 4000
        assert not self.headrace.database.exists()


def bomb(levels: int) -> str:
    lines = ["x-a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    names = "abcdefghijklmnopqrstuvwxyz"[:levels]
    for before, after in pairwise(names):
        lines.append(f"x-{after}: &{after} [{', '.join([f'*{before}'] * 9)}]")
    return flow("  a: {noop: {}}\n", "\n".join(lines) + f"\nparams: {{p: {{default: *{names[-1]}}}}}\n")


def test_aliases_that_multiply(bounded: Bounded) -> None:
    """faults 7: nine to the tenth values in 700 bytes, counted before anything is made of them."""
    bounded.headrace.write("bomb.yaml", bomb(10))
    bounded.refuses("bomb.yaml", "bomb.yaml:7:10", "aliases multiply this file", "[too_large]")


def test_an_alias_of_itself(bounded: Bounded) -> None:
    """faults 7"""
    bounded.headrace.write("loop.yaml", flow("  a: {noop: {}}\n", "x-a: &a [*a]\n"))
    bounded.refuses("loop.yaml", "loop.yaml:2:10", "*a names an anchor that is not defined above")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lists.yaml", f"workflow: w\nx-d: {'[' * 100_000}{']' * 100_000}\n"),
        ("maps.yaml", f"workflow: w\nx-d: {'{a: ' * 100_000}1{'}' * 100_000}\n"),
        ("lines.yaml", "workflow: w\nx-d:\n" + "".join(" " * i + "- \n" for i in range(1, 3000))),
        ("lists.json", '{"workflow": "w", "x-d": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("maps.json", '{"x-d": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001),
    ],
)
def test_nesting_without_end(name: str, text: str, bounded: Bounded) -> None:
    """faults 7"""
    bounded.headrace.write(name, text)
    bounded.refuses(name, name, "nest more than 100 deep", "[parse_error]")


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_hundred_megabytes(way: str, bounded: Bounded) -> None:
    """faults 7: the size of a file is looked at, not its content; of a stream no more is read than may be used."""
    path = bounded.headrace.folder / "huge.yaml"
    with path.open("wb") as file:
        file.write(SMALL.encode() + b"#")
        file.truncate(100_000_000)
    if way == "file":
        bounded.refuses("huge.yaml", "huge.yaml:", "has 100,000,000 bytes; 67,108,864 bytes are allowed")
        return
    done = bounded.headrace.measured("validate", "-", stdin=path)
    refused(done, "is larger than 67,108,864 bytes", "[too_large]")
    assert done.peak - bounded.small.peak < 3 * 64 * MIB  # what may be read, twice while it is put together


def test_more_tasks_than_are_allowed(headrace: Terminal) -> None:
    """faults 5: one task too many is told by name of the limit; the graph is not built."""
    path = headrace.folder / "million.json"
    with path.open("w") as file:
        file.write('{"workflow": "w", "tasks": {')
        file.writelines(f'"t{i}": {{"noop": {{}}}},\n' for i in range(1_000_000))
        file.write('"last": {"noop": {}}}}')
    done = headrace.measured("run", "million.json", timeout=110)
    refused(done, "million.json:1:", "more than 1,000,000 tasks", "[too_large]", "Use `map`")
    assert done.peak < 1024 * MIB
    assert not headrace.database.exists()


def test_more_edges_than_are_allowed(headrace: Terminal) -> None:
    """faults 5: 2,300 tasks that all wait for a group of 2,300 are more than five million edges in a small file."""
    inner = "".join(f"      a{i}: {{noop: {{}}}}\n" for i in range(2300))
    outer = "".join(f"  b{i}: {{noop: {{}}, depends_on: g}}\n" for i in range(2300))
    headrace.write("dense.yaml", flow("  g:\n    tasks:\n" + inner + outer))
    done = headrace.measured("run", "dense.yaml")
    refused(done, "dense.yaml:", "5,000,000", "[too_large]")
    assert done.peak < 256 * MIB
    assert not headrace.database.exists()


def fan(width: int) -> str:
    middle = "".join(f" t{i}: {{noop: {{}}, depends_on: first}}\n" for i in range(width))
    ends = ", ".join(f"t{i}" for i in range(width))
    return flow(f" first: {{noop: {{}}}}\n{middle} last: {{noop: {{}}, depends_on: [{ends}]}}\n")


def chain(length: int) -> str:
    return flow(
        " t0: {noop: {}}\n"
        + "".join(f" t{i}: {{noop: {{}}, depends_on: t{i - 1}}}\n" for i in range(1, length))
    )


@pytest.mark.parametrize(
    ("shape", "depth", "width"),
    [(fan, 3, 99_998), (chain, 100_000, 1)],
    ids=["fan", "chain"],
)
def test_a_hundred_thousand_tasks(shape: object, depth: int, width: int, headrace: Terminal) -> None:
    """faults 6: as wide and as long as they come, with no limit of recursion, in a time that grows with the size alone."""
    assert callable(shape)
    size = 99_998 if shape is fan else 100_000
    headrace.write("small.yaml", shape(size // 10))
    headrace.write("large.yaml", shape(size))
    base = headrace.measured("validate", "small.yaml")
    full = headrace.measured("graph", "large.yaml", "--format", "json")
    assert (base.status, full.status) == (0, 0), full.err
    facts = full.document
    assert (facts["tasks"], facts["depth"], facts["width"]) == (100_000, depth, width)
    assert full.worked < 20 * base.worked + 2

    ran = headrace.measured("run", "large.yaml", timeout=110)
    assert ran.status == 0, ran.err[-2000:]
    assert "Traceback" not in ran.err
    (run,) = headrace.runs()
    assert run["state"] == "succeeded"
    assert ran.peak < 1024 * MIB
