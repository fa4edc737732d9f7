"""Where a worker finds the code of a workflow."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from headrace.cli.files import workflows_below
from headrace.engine.ports.messages import Dispatch, Job, Limits
from headrace.runners.app_dir import LOOK_AGAIN_AFTER, AppDir

EXAMPLES = Path(__file__).parents[3] / "examples" / "workflows"


def dispatch(workflow: str, function: str | None = None, folder: str | None = None) -> Dispatch:
    work = {"run": "true"} if function is None else {"function": function}
    kind = "shell" if function is None else "python"
    return Dispatch(1, "r", 0, 0, 0, 1, 1, 1, Job(workflow, "t", kind, work, Limits(), folder=folder), {})


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def folder_of(app_dir: AppDir, given: Dispatch) -> str | None:
    return (await app_dir.place(given)).job.folder


@pytest.mark.parametrize(
    ("workflow", "function", "folder"),
    [
        ("daily_sales", "shop:extract", "daily_sales"),
        ("etl", "warehouse:load", "etl"),
        ("always_fails", "jobs:give_up", "jobs"),
        ("sync_data", None, "jobs"),
        ("close_branch", "ledger:lock", "family"),
        ("media", "studio:probe", "media"),
        ("order_saga", "store:charge", "order_saga"),
        ("training", "model:train", "training"),
    ],
)
async def test_the_examples_run_beside_their_files(workflow: str, function: str | None, folder: str) -> None:
    app_dir = AppDir(EXAMPLES, workflows_below)
    assert await folder_of(app_dir, dispatch(workflow, function)) == str(EXAMPLES / folder)


async def test_every_function_of_the_examples_is_found() -> None:
    from headrace.dsl import source
    from headrace.runners.functions import load_function

    app_dir = AppDir(EXAMPLES, workflows_below)
    found = 0
    for file in sorted(EXAMPLES.glob("*/*.yaml")):
        for each in source.load(str(file)):
            for function in re.findall(r"python: (\S+)", file.read_text()):
                folder = await folder_of(app_dir, dispatch(each.workflow.name, function))
                assert folder is not None
                assert callable(load_function(folder, function))
                found += 1
    assert found > 30


async def test_a_folder_that_a_message_names_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "evil.py")
    app_dir = AppDir(tmp_path / "app", workflows_below)
    placed = await app_dir.place(dispatch("flow", "evil:run", folder=str(elsewhere)))
    assert placed.job.folder == str(tmp_path / "app")


async def test_shared_code_lies_above_the_workflows(tmp_path: Path) -> None:
    write(tmp_path / "flows" / "a.yaml", "workflow: a\ntasks: {}\n")
    write(tmp_path / "flows" / "own.py")
    write(tmp_path / "shop" / "sales.py")
    app_dir = AppDir(tmp_path, workflows_below)
    assert await folder_of(app_dir, dispatch("a", "own:run")) == str(tmp_path / "flows")
    assert await folder_of(app_dir, dispatch("a", "shop.sales:price")) == str(tmp_path)
    assert await folder_of(app_dir, dispatch("a", "installed:run")) == str(tmp_path / "flows")


async def test_a_workflow_in_two_folders_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        write(tmp_path / name / "flow.yaml", "workflow: flow\ntasks: {}\n")
    app_dir = AppDir(tmp_path, workflows_below)
    assert await folder_of(app_dir, dispatch("flow")) == str(tmp_path / "a")
    assert "flow is in several folders" in caplog.text


async def test_files_that_come_later_are_found_and_the_disk_is_not_looked_at_for_each_task(
    tmp_path: Path,
) -> None:
    now, looks = 0.0, 0

    def scan(folder: Path):  # type: ignore[no-untyped-def]
        nonlocal looks
        looks += 1
        return list(workflows_below(folder))

    app_dir = AppDir(tmp_path, scan, lambda: now)
    assert app_dir.placed(dispatch("flow")) is None, "it takes a look at the disk"
    await asyncio.gather(*(app_dir.place(dispatch("flow")) for _ in range(20)))
    assert looks == 1
    write(tmp_path / "new" / "flow.yaml", "workflow: flow\ntasks: {}\n")
    assert await folder_of(app_dir, dispatch("flow")) == str(tmp_path)
    now = LOOK_AGAIN_AFTER
    assert await folder_of(app_dir, dispatch("flow")) == str(tmp_path / "new")
    assert looks == 2


async def test_attempts_of_a_task_share_their_job(tmp_path: Path) -> None:
    app_dir = AppDir(tmp_path, workflows_below)
    await app_dir.look()
    first = dispatch("flow")
    second = Dispatch(1, "r", 0, 0, 1, 1, 1, 1, first.job, {})
    placed = app_dir.placed(first), app_dir.placed(second)
    assert placed[0] is not None
    assert placed[1] is not None
    assert placed[0].job is placed[1].job
    assert first.job.folder is None, "messages are not changed"
