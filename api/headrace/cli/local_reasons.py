"""Why task runs of this machine's database are where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headrace.api.shapes.runs import run_entry
from headrace.api.veiling import OPEN
from headrace.cli.failure import Stop
from headrace.cli.references import short
from headrace.cli.station import Explained

if TYPE_CHECKING:
    from headrace.api.shapes.tasks import TaskWhy
    from headrace.cli.settings import Settings
    from headrace.engine.ports.store import RunRow, Store
    from headrace.engine.shell.views import RunView, TaskView


async def explain(
    settings: Settings,
    store: Store,
    row: RunRow,
    task: str | None,
    most: int | None,
    given: Mapping[str, int],
) -> Explained:
    """Of a task that is named, or of all that wait or did not succeed, at most `most`. `given`: sizes of pools that are settings.
    Raises Stop."""
    from headrace.api.asking.pools import sizes_for
    from headrace.api.shapes.tasks import task_why
    from headrace.api.showing.reasons import explained, live_workers, machine_of
    from headrace.cli.here import has_engines
    from headrace.engine.shell.views import run_view

    view = await run_view(store, row.no)
    machine = machine_of(view.plan, view.run, await store.task_rows(row.no))
    workers = await live_workers(store) if await has_engines(settings, store) else None
    asked = _unsuccessful(view) if task is None else _named(view, task)
    slots = await sizes_for(store, row.project, given, view.plan, asked[:most])
    told: list[TaskWhy] = [
        task_why(view.plan, one, explained(machine, one, workers, slots=slots)) for one in asked[:most]
    ]
    return Explained(run_entry(view.run, OPEN), told, len(asked) - len(told), view.aside)


def _named(view: RunView, task: str) -> Sequence[TaskView]:
    """The task run; all items of a mapped task that is named without an index. Raises Stop or Refused for a task that the run does
    not have."""
    from headrace.engine.shell.commands import key_of

    key = key_of(view.plan, task)
    name = view.plan.ids[key.task]
    alike = [one for one in (*view.tasks, *view.groups) if one.id == name]
    found = [one for one in alike if one.map == key.map] or (alike if key.map == 0 else [])
    if found:
        return found
    if key.task in view.plan.members:
        raise Stop(f"run {short(view.run.id)} has not come to {task} yet: headrace why tells of its tasks.")
    raise Stop(f"run {short(view.run.id)} has no {task}: its map has fewer items.")


def _unsuccessful(view: RunView) -> Sequence[TaskView]:
    """Those that have not ended; when all have, those that did not succeed."""
    from headrace.api.showing.documents import FINAL

    waiting = [one for one in view.tasks if one.state not in FINAL]
    return waiting or [one for one in view.tasks if one.state not in ("succeeded", "removed")]
