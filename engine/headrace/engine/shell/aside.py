"""Runs that are set aside: damaged, or beyond what an engine can decide or a store can take.

The engine that sets a run aside leaves a note about it in the inbox of its part, for those who ask why the run does not go
on. The note counts as long as that owner has the part: whoever owns it next tries the run again, and the note goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.engine.ports.store import InboxRow, RunRow, Store

if TYPE_CHECKING:
    from headrace.engine.shell.part import Part

ASIDE = "set_aside"
LONGEST = 2000  # characters of a reason


class Aside(msgspec.Struct, frozen=True):
    """The body of a note. `epoch`: of the owner that set the run aside."""

    epoch: int
    why: str


def note(part: Part, run: int, why: str, at: float) -> InboxRow:
    """The note, to be written for the part."""
    return InboxRow(0, part.number, run, ASIDE, msgspec.json.encode(Aside(part.epoch, why[:LONGEST])), at)


def holds(row: InboxRow, part: Part) -> bool:
    """Whether the note is this owner's own, about a run that is still set aside."""
    said = _read(row)
    return said is not None and said.epoch == part.epoch and row.run in part.broken


async def set_aside(store: Store, run: RunRow) -> str | None:
    """Why an engine has set a run aside; None when none has, as far as they have said."""
    notes = await store.waiting_for(run.part, run.no, ASIDE)
    said = _read(notes[-1]) if notes else None
    return None if said is None else said.why


def _read(row: InboxRow) -> Aside | None:
    try:
        return msgspec.json.decode(row.body, type=Aside)
    except msgspec.MsgspecError:
        return None
