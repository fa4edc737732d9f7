"""Every workflow of every page is one: it is read, checked and planned, and run where its block says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.dsl import source
from headrace.dsl.unsupported import not_supported
from headrace.engine.core.problems import InvalidWorkflow
from headrace.testing import run
from tests.acceptance.docs.pages import Block, all_blocks, blocks, name_of, pages

PARTS = ("task", "top")
BLOCKS = [block for block in all_blocks("yaml") if "invalid" not in block.marks]
INVALID = [block for block in all_blocks("yaml") if "invalid" in block.marks]
RUN = [block for block in BLOCKS if "run" in block.marks]
IDS = [block.name for block in BLOCKS]


def whole(block: Block) -> str:
    """The block as a workflow: parts with what is missing around them."""
    if "task" in block.marks:
        text = "".join(f"  {line}\n" if line else "\n" for line in block.text.splitlines())
        return f"workflow: part\nparams: {{day: {{type: string, format: date, default: '2026-03-01'}}}}\ntasks:\n{text}"
    if "top" in block.marks:
        tasks = "" if "\ntasks:" in f"\n{block.text}" else "tasks: {go: {noop: {}}}\n"
        name = "" if "workflow:" in block.text.splitlines()[0] else "workflow: part\n"
        return f"{name}{block.text}{tasks}"
    return block.text


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_a_workflow_of_a_page_is_valid(block: Block) -> None:
    try:
        planned = source.plan(source.read_text(whole(block), block.name))
    except InvalidWorkflow as refused:
        pytest.fail("\n".join(str(problem) for problem in refused.problems))
    assert bool(planned.warnings) is ("warns" in block.marks), planned.warnings
    later = not_supported(planned.source.workflow)
    assert bool(later) is ("later" in block.marks), later


@pytest.mark.parametrize("block", INVALID, ids=[block.name for block in INVALID])
def test_a_workflow_that_a_page_calls_invalid_is(block: Block) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        source.plan(source.read_text(whole(block), block.name))
    code = block.marks["invalid"]
    assert not code or code in {problem.code for problem in refused.value.problems}


@pytest.mark.parametrize("block", RUN, ids=[block.name for block in RUN])
def test_a_workflow_of_a_page_runs(block: Block, tmp_path: Path) -> None:
    page = next(page for page in pages() if name_of(page) == block.page)
    for each in blocks(page):
        if "file" in each.marks:
            (tmp_path / each.marks["file"]).write_text(each.text, encoding="utf-8")
    path = tmp_path / "the_page.yaml"
    path.write_text(whole(block), encoding="utf-8")
    result = run(str(path))
    assert result.state == (block.marks["run"] or "succeeded"), result
