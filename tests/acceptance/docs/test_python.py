"""The Python of the pages: it is valid, says what the YAML beside it says, passes mypy, and its tests pass."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.dsl import source
from headrace.engine.core.problems import InvalidWorkflow
from tests.acceptance.docs.pages import ROOT, Block, all_blocks, blocks, name_of, pages

BLOCKS = all_blocks("python")
PLANNED = [block for block in BLOCKS if not {"part", "invalid", "pytest"} & set(block.marks)]
INVALID = [block for block in BLOCKS if "invalid" in block.marks]
TESTS = [block for block in BLOCKS if "pytest" in block.marks]


def twins() -> list[tuple[Block, Block]]:
    """Each block that is marked so, with the last YAML before it on its page."""
    found = []
    for page in pages():
        yaml: Block | None = None
        for block in blocks(page):
            if block.language == "yaml":
                yaml = block
            elif "twin" in block.marks:
                assert yaml is not None, f"{block.name} has no YAML before it"
                found.append((yaml, block))
    return found


def written(block: Block, folder: Path) -> Path:
    path = folder / block.marks.get("file", f"page_{block.line}.py")
    path.write_text(block.text, encoding="utf-8")
    return path


@pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])
def test_it_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", PLANNED, ids=[block.name for block in PLANNED])
def test_its_workflows_are_valid(block: Block, tmp_path: Path) -> None:
    found = source.load(str(written(block, tmp_path)))
    assert found
    for each in found:
        assert not source.plan(each).warnings


@pytest.mark.parametrize("block", INVALID, ids=[block.name for block in INVALID])
def test_what_a_page_calls_invalid_is(block: Block, tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkflow):
        source.load(str(written(block, tmp_path)))


@pytest.mark.parametrize(("yaml", "python"), twins(), ids=[python.name for _, python in twins()])
def test_both_spellings_have_one_plan(yaml: Block, python: Block, tmp_path: Path) -> None:
    [found] = source.load(str(written(python, tmp_path)))
    beside = source.read_text(yaml.text, yaml.name)
    assert source.plan(found).plan.hash == source.plan(beside).plan.hash


@pytest.mark.parametrize("block", TESTS, ids=[block.name for block in TESTS])
def test_the_tests_of_a_page_pass(block: Block, tmp_path: Path) -> None:
    page = next(page for page in pages() if name_of(page) == block.page)
    for each in blocks(page):
        if each.language == "python" and "file" in each.marks:
            written(each, tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            "--rootdir",
            ".",
            block.marks["file"],
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_content(tmp_path: Path) -> None:
    for block in BLOCKS:
        if "typed" in block.marks:
            written(block, tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folders = ":".join(str(ROOT / each) for each in ("engine", "dsl", "runners", "api"))
    names = [path.name for path in tmp_path.glob("*.py")]
    assert names
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            str(ROOT / ".mypy_cache"),
            *names,
        ],
        cwd=tmp_path,
        env={"MYPYPATH": folders, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout
