"""Approvals and signals in this machine's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.cli.refusals import said

if TYPE_CHECKING:
    from headrace.api.shapes.waits import ApprovalEntry
    from headrace.cli.local import LocalStation
    from headrace.cli.settings import Settings
    from headrace.engine.ports.store import Store


class LocalWaits:
    """Those of one project, at a station."""

    def __init__(self, settings: Settings, store: Store, station: LocalStation) -> None:
        self._settings, self._store, self._project = settings, store, settings.project
        self._station = station

    async def list(self, run: str | None) -> Sequence[ApprovalEntry]:
        from headrace.api.showing.waits import approval_entry
        from headrace.api.veiling import OPEN
        from headrace.engine.ports.waits import APPROVAL

        of = None if run is None else (await self._station.row_of(run)).no
        found = await self._store.waits(self._project, APPROVAL, run=of, limit=1000)
        return [approval_entry(one, OPEN) for one in found]

    async def decide(self, id: int, approved: bool, form: Mapping[str, Any], comment: str | None) -> str:
        from headrace.api.asking.approving import approval_of, body_of, check, filled_in, name_of
        from headrace.api.problems import Problem
        from headrace.cli.here import me

        try:
            found = await approval_of(self._store, self._project, id)
            filled = None
            if approved:
                await check(self._store, found, me())
                filled = filled_in(body_of(found)["form"], form)
        except Problem as problem:
            raise said(problem) from None
        task = name_of(found)
        body = {"task": task, "approved": approved, "form": filled, "comment": comment}
        action = "approval.approve" if approved else "approval.reject"
        detail = {"comment": comment, "form": sorted(filled or ())}
        await self._station.decide(found.run_id, "approval", body, action, f"task {task}", detail)
        return found.run_id

    async def signal(self, name: str, key: str | None, payload: Any) -> None:
        from headrace.api.asking.signalling import new_signal, send
        from headrace.api.problems import Problem
        from headrace.cli.acts import act
        from headrace.cli.here import me

        try:
            signal = new_signal(self._project, name, key, payload, f"local:{me()}")
        except Problem as problem:
            raise said(problem) from None
        line = act(self._settings, "signal.send", f"signal {name}", {"key": key})
        await send(self._store, signal, line, lambda part: None)
