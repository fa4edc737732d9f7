"""Registered workflows: every version that was ever accepted, by project, name and number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from headrace.engine.ports.acts import Act
from headrace.engine.ports.schedules import NewSchedule

if TYPE_CHECKING:
    from headrace.engine.ports.store import VersionNote, VersionRow


class Registry(Protocol):
    """Anyone may register and read. Acts: as in `ports.store`."""

    async def register(
        self,
        version: VersionRow,
        *,
        schedules: Sequence[NewSchedule] | None = None,
        act: Act | None = None,
    ) -> VersionRow:
        """A new version, or the existing one with the same hash (its description and tags updated). `version.version` is ignored.
        Two at once with the same hash: one version, both get it. `schedules`: those that the workflow has from now on, its others
        end; None leaves them as they are."""

    async def version(self, project: str, name: str, version: int | None = None) -> VersionRow | None:
        """That version, or the newest."""

    async def versions(self, project: str, name: str | None = None) -> list[VersionNote]:
        """Every version of one workflow or of all, by name, oldest first. No document is read."""

    async def newest_versions(
        self,
        project: str,
        *,
        tag: str | None = None,
        text: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[VersionNote]:
        """The newest version of each workflow, by name; `after` is a name (keyset paging). `text` is found anywhere in the name or
        the description, whatever the case of its ASCII letters."""

    async def plan(self, plan: str) -> bytes | None:
        """The canonical document of that hash."""
