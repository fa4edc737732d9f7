"""A folder of workflows that somebody works on: what is in it is registered, and again when a file has changed.

Each file stands for itself: one that has a problem is told about and left as it was, the others go on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.failure import Stop
from headrace.cli.files import SUFFIXES, workflows_below
from headrace.cli.output import say

if TYPE_CHECKING:
    from headrace.dsl.source import Planned
    from headrace.engine.ports.schedules import NewSchedule
    from headrace.engine.ports.store import Store

EVERY = 1.0
"""Seconds between two looks at the files."""
DEEPEST = 6

Stamps = dict[str, tuple[int, int]]


class Flows:
    """`folders` is told, by workflow, where it lies; it changes as files do."""

    def __init__(self, folder: Path, store: Store, project: str, folders: dict[str, str]) -> None:
        self._folder = folder
        self._store = store
        self._project = project
        self._stamps: Stamps = {}
        self._registered: dict[str, tuple[str, Sequence[NewSchedule]]] = {}
        self._folders = folders
        self._told: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        return sorted(self._registered)

    async def register(self) -> None:
        """Register what is there and differs from what was registered before."""
        from headrace.engine.shell.schedules.reading import by_time
        from headrace.runners.authored import version_row

        self._stamps = await asyncio.to_thread(_stamps, self._folder)
        for planned in await asyncio.to_thread(self._planned):
            plan = planned.plan
            name = plan.workflow.name
            self._folders[name] = planned.source.folder or str(self._folder)
            schedules = by_time(name, plan.workflow.triggers)
            known = self._registered.get(name)
            if known == (plan.hash, schedules):
                continue
            row = version_row(plan, self._project, time.time())
            kept = await self._store.register(row, schedules=schedules)
            if known is not None:
                say(f"{name}: version {kept.version}" if known[0] != plan.hash else f"{name}: its schedules")
            self._registered[name] = plan.hash, schedules

    async def follow(self, wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Until cancelled."""
        while True:
            await wait(EVERY)
            if await asyncio.to_thread(_stamps, self._folder) != self._stamps:
                await self.register()

    def _planned(self) -> list[Planned]:
        """Every workflow of the folder that is valid. What is wrong with a file is told when it is new."""
        from headrace.cli.files import plan_to_run
        from headrace.cli.problems import show_problems
        from headrace.engine.core.problems import InvalidWorkflow

        found: dict[str, Planned] = {}
        told, self._told = self._told, {}
        for file, names in workflows_below(self._folder):
            for target in [f"{file}:{name}" for name in names] if file.suffix == ".py" else [str(file)]:
                try:
                    planned = plan_to_run(target)
                except InvalidWorkflow as invalid:
                    self._told[target] = str(invalid)
                    if told.get(target) != str(invalid):
                        show_problems(invalid.problems, invalid.warnings)
                    continue
                except (OSError, Stop) as error:  # gone meanwhile, or under another name
                    self._told[target] = str(error)
                    if told.get(target) != str(error):
                        say(f"{target}: {error}")
                    continue
                name = planned.source.workflow.name
                first = found.setdefault(name, planned)
                if first is not planned:
                    self._told[target] = name
                    if told.get(target) != name:
                        say(f"{target}: {first.source.file} defines {name} too, and that one is used.")
        return list(found.values())


def _stamps(folder: Path) -> Stamps:
    """When each file was last changed, and its size: modules that workflows import count too."""
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in _files(str(folder), DEEPEST)}


def _files(folder: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith((".", "__pycache__", "node_modules")):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    yield from _files(entry.path, depth - 1)
            elif entry.name.endswith(SUFFIXES):
                yield entry.path, entry.stat()
        except OSError:  # gone meanwhile
            continue
