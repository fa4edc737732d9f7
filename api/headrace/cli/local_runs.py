"""Runs of this machine's database as one command has read them: everything it does later rests on the row that it saw first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.references import find_run

if TYPE_CHECKING:
    from headrace.engine.ports.store import RunRow, Store


class LocalRuns:
    """Those of one project, by id."""

    def __init__(self, store: Store, project: str) -> None:
        self._store, self._project = store, project
        self._rows: dict[str, RunRow] = {}

    def keep(self, row: RunRow) -> None:
        """From now on the run is this row."""
        self._rows[row.id] = row

    async def find(self, text: str) -> RunRow:
        """The run that `text` names, read now. Raises Stop."""
        row = await find_run(self._store, self._project, text)
        self.keep(row)
        return row

    async def row(self, run: str) -> RunRow:
        """The run of an id. Raises Stop."""
        return self._rows.get(run) or await self.find(run)
