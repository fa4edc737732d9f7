"""How runs and task runs are named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.failure import Stop
from headrace.cli.references import TaskRef, find_run, short, task_ref
from headrace.engine.ports.store import DEFAULT_PROJECT, NewRun, Store
from headrace.engine.store import open_store


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("price", TaskRef("price")),
        ("price[7]", TaskRef("price", (7,))),
        ("each.encode[2,1]", TaskRef("each.encode", (2, 1))),
    ],
)
def test_a_task_run_is_read_and_written_alike(text: str, ref: TaskRef) -> None:
    assert task_ref(text, ["price", "each.encode"]) == ref
    assert str(ref) == text


@pytest.mark.parametrize("text", ["prise", "prise[7]"])
def test_an_unknown_task_names_the_nearest(text: str) -> None:
    with pytest.raises(Stop, match='no task "prise"') as stopped:
        task_ref(text, ["price", "load"])
    assert stopped.value.hint == 'Did you mean "price"?'


def test_far_from_everything_the_tasks_are_listed() -> None:
    with pytest.raises(Stop) as stopped:
        task_ref("zzz", [f"t{n}" for n in range(20)])
    assert stopped.value.hint == "Tasks: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, …"


async def add(store: Store, run: str) -> None:
    await store.create_run(
        NewRun(
            id=run,
            project=DEFAULT_PROJECT,
            workflow="w",
            version=1,
            plan="sha256:0",
            part=0,
            params=b"{}",
            trigger=b'{"kind": "manual"}',
            created_at=1.0,
            scheduled_at=1.0,
            priority="normal",
        )
    )


async def test_a_run_is_its_id_a_unique_beginning_or_last(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/x.db")
    first, second = "0198c7d2-1f3a-7000-8000-000000000001", "0198c7d2-2b00-7000-8000-000000000002"
    try:
        with pytest.raises(Stop, match="no run yet"):
            await find_run(store, DEFAULT_PROJECT, "last")
        await add(store, first)
        await add(store, second)
        assert (await find_run(store, DEFAULT_PROJECT, "last")).id == second
        assert (await find_run(store, DEFAULT_PROJECT, first)).id == first
        assert (await find_run(store, DEFAULT_PROJECT, short(first).upper())).id == first
        with pytest.raises(Stop, match="beginning of several runs") as several:
            await find_run(store, DEFAULT_PROJECT, "0198")
        assert first in several.value.message
        assert second in several.value.message
        with pytest.raises(Stop, match='no run begins with "0199"'):
            await find_run(store, DEFAULT_PROJECT, "0199")
        with pytest.raises(Stop, match='"%" is no run'):
            await find_run(store, DEFAULT_PROJECT, "%")
        with pytest.raises(Stop):
            await find_run(store, "another project", first)
    finally:
        await store.close()
