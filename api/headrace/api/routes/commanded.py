"""What every command to a run takes, said once: which run, who asks, the whole request, and how long the asker waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from litestar import Request, Response
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, RawBody

from headrace.api.access.asking import Asker
from headrace.api.asking.finding import plan_of, run_of
from headrace.api.asking.looking import task_named
from headrace.api.asking.waiting import patience
from headrace.api.commanding import command, run_final, task_name
from headrace.api.office import Office
from headrace.api.routes.queried import Indexes
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.runs import RunEntry, run_entry
from headrace.api.shapes.tasks import TaskBody, TaskCommanded
from headrace.api.veiling import Veil
from headrace.engine.core.keys import written
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow

Kind = Literal["cancel", "kill", "pause", "resume", "rerun"]
Action = Literal["retry", "cancel", "skip", "succeed"]


@dataclass(frozen=True, slots=True)
class ToRun:
    """A command on its way to a run. `run`: its id; `asked`: the whole request; `wait`: seconds."""

    office: Office
    asker: Asker
    run: str
    asked: bytes
    wait: float

    async def row(self) -> RunRow:
        """The run as it is. Raises Problem (404)."""
        return await run_of(self.office, self.asker.project, self.run)

    async def tell(
        self,
        kind: Kind,
        given: Mapping[str, Any],
        check: Callable[[RunRow], None],
        *,
        row: RunRow | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Response[RunEntry]:
        """Post it and answer. `check`: raises Problem for what need not be posted; `row`: the run, where it was read before;
        `detail`: for the audit, `given` when left out. Raises Problem."""
        told = await command(
            self.office,
            self.asker,
            row or await self.row(),
            kind,
            given,
            action=f"run.{kind}",
            asked=self.asked,
            wait=self.wait,
            check=check,
            detail=given if detail is None else detail,
        )
        entry = run_entry(told.row, Veil(self.asker.role, self.office.secrets))
        return Response(entry, status_code=202, headers=REPLAYED if told.replayed else None)


@dataclass(frozen=True, slots=True)
class ToTask:
    """A command on its way to one task run of a run. `task` and `index`: as the path and the query name it."""

    to: ToRun
    task: str
    index: str | None

    async def tell(
        self,
        action: Action,
        given: TaskBody,
        check: Callable[[RunRow], None] | None,
        more: Mapping[str, Any] | None = None,
    ) -> Response[TaskCommanded]:
        """The same as for a run; `more`: of the command's body. Raises Problem."""
        office, asker = self.to.office, self.to.asker
        row = await self.to.row()
        plan = await plan_of(office, row.plan)
        named = task_named(plan, self.task, self.index)
        name = task_name(plan, written(named.id, named.path))
        told = await command(
            office,
            asker,
            row,
            "task",
            {"task": name, "action": action, "reason": given.reason, **(more or {})},
            action=f"task.{action}",
            object=f"task {name} of run {row.id}",
            detail={"reason": given.reason},
            asked=self.to.asked,
            wait=self.to.wait,
            check=check,
        )
        return Response(
            TaskCommanded(run=row.id, task=name, action=action, decided=told.decided),
            status_code=202,
            headers=REPLAYED if told.replayed else None,
        )


async def _to_run(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: FromPath[str],
    body: RawBody,
    wait: FromQuery[str | None] = None,
) -> ToRun:
    return ToRun(office, asker, run, asked(request, body), patience(wait))


async def _to_task(to: NamedDependency[ToRun], task: FromPath[str], index: Indexes = None) -> ToTask:
    return ToTask(to, task, index)


TO_RUN = {"to": Provide(_to_run)}
TO_TASK = {**TO_RUN, "to_task": Provide(_to_task)}


def live(row: RunRow) -> None:
    """Raises Problem (409) when the run has ended."""
    if RunState(row.state).final:
        raise run_final(row)
