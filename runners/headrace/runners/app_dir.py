"""Where a worker finds the code and files of a workflow: below one folder, as a checkout holds them.

A message may name the folder of the machine it came from; a worker of a cluster never follows that. It looks for the
workflow's own file below its app dir, and executes the tasks beside it, as an embedded run of that file does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from headrace.engine.ports.messages import Dispatch, Job

LOOK_AGAIN_AFTER = 5.0
"""Seconds between two looks at the folder for workflows it did not have."""

_logger = logging.getLogger(__name__)

Scan = Callable[[Path], Iterable[tuple[Path, list[str]]]]
"""A folder → the workflow files below it, with the names of the workflows in each."""


class AppDir:
    """Used on one event loop.

    Args:
        path: an existing folder.
        scan: finds workflow files; it runs on a thread and runs no code of theirs.
        monotonic: seconds.
    """

    def __init__(self, path: Path, scan: Scan, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.path = os.path.realpath(path)
        self._scan = scan
        self._monotonic = monotonic
        self._folders: dict[str, str] = {}  # workflow → folder
        self._looked_at: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._last: tuple[Job, Job] | None = None

    def placed(self, dispatch: Dispatch) -> Dispatch | None:
        """The dispatch with the folder its tasks are executed in; None: it takes a look at the disk to know."""
        job = dispatch.job
        if self._last is None or self._last[0] is not job:  # the attempts of one task share their job
            if job.workflow not in self._folders and self._stale():
                return None
            self._last = (job, msgspec.structs.replace(job, folder=self._folder(job)))
        return msgspec.structs.replace(dispatch, job=self._last[1])

    async def place(self, dispatch: Dispatch) -> Dispatch:
        """The same, however long it takes."""
        while (placed := self.placed(dispatch)) is None:
            await self.look()
        return placed

    def _folder(self, job: Job) -> str:
        folder = self._folders.get(job.workflow, self.path)
        function = job.work.get("function")
        if function is None or folder == self.path:
            return folder
        top = function.partition(":")[0].partition(".")[0]
        # code that several workflows share lies above them
        return self.path if _holds(self.path, top) and not _holds(folder, top) else folder

    async def look(self) -> None:
        """Look at the disk, unless somebody has just done so."""
        if self._looking is None:
            if not self._stale():
                return
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        self._folders = await asyncio.to_thread(self._found)
        self._looked_at = self._monotonic()
        self._last = None

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None

    def _stale(self) -> bool:
        return self._looked_at is None or self._monotonic() - self._looked_at >= LOOK_AGAIN_AFTER

    def _found(self) -> dict[str, str]:
        folders: dict[str, str] = {}
        twice: set[str] = set()
        for file, names in self._scan(Path(self.path)):
            folder = os.path.realpath(file.parent)
            for name in names:
                if folders.setdefault(name, folder) != folder:
                    twice.add(name)
        for name in sorted(twice):
            _logger.warning(
                "Workflow %s is in several folders below %s: its tasks run in %s.",
                name,
                self.path,
                folders[name],
            )
        return folders


def _holds(folder: str, top: str) -> bool:
    path = os.path.join(folder, top)
    return os.path.isdir(path) or os.path.isfile(path + ".py")
