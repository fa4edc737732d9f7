"""What tasks wrote, from a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.api.client.models import Line
from headrace.cli import together
from headrace.cli.references import TaskRef, task_ref, written_of

if TYPE_CHECKING:
    from headrace.api.shapes.runs import RunEntry
    from headrace.api.shapes.tasks import TaskRun


class RemoteLines:
    """Of the runs of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def read(
        self, run: RunEntry, task: TaskRef | None, attempt: int | None, last: int | None = None
    ) -> Sequence[Line]:
        found = [one async for one in self._client.tasks.list(run.run)]
        if task is not None:
            task_ref(str(task), {one.id for one in found})
        wanted = [
            (written_of(one), one.generation, number)
            for one in found
            if one.generation == run.generation
            and (task is None or task.means(TaskRef(one.id, tuple(one.map_path))))
            for number in (range(1, one.attempts + 1) if attempt is None else (attempt,))
        ]

        async def of(which: tuple[str, int, int]) -> list[Line]:
            return [line async for line in self._wrote(run.run, *which, last)]

        lines = [line for wrote in await together.each(wanted, of) for line in wrote]
        lines.sort(key=lambda line: line.at)  # stable: lines of one attempt stay in the order of writing
        return lines

    async def follow(self, run: RunEntry) -> AsyncGenerator[Line, None]:
        async with aclosing(self._client.runs.logs(run.run)) as events:
            async for event in events:
                if isinstance(event, Line):
                    yield event

    async def last(self, run: str, task: TaskRun, most: int) -> Sequence[str]:
        name = (written_of(task), task.generation, max(task.attempts, 1))
        try:
            return [line.text async for line in self._wrote(run, *name, most)]
        except ApiError as error:
            if error.status == 403:  # who may not see logs is told the rest
                return []
            raise

    async def _wrote(
        self, run: str, task: str, generation: int, attempt: int, last: int | None
    ) -> AsyncIterator[Line]:
        async for line in self._client.tasks.logs(run, task, attempt, generation=generation, last=last):
            yield Line(task, generation, attempt, line.number, line.at, line.stream, line.text)
