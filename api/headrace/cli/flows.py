"""A folder of workflows that somebody works on: what is in it is registered, and again when a file has changed.

Each file stands for itself: one that has a problem is told about and left as it was, the others go on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.files import SUFFIXES, workflows_below
from headrace.cli.output import say

if TYPE_CHECKING:
    from headrace.dsl.source import Planned
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
        self._registered: dict[str, str] = {}
        self._folders = folders

    @property
    def names(self) -> list[str]:
        return sorted(self._registered)

    async def register(self) -> None:
        """Register what is there and differs from what was registered before."""
        from headrace.runners.authored import version_row

        self._stamps = await asyncio.to_thread(_stamps, self._folder)
        for planned in await asyncio.to_thread(_planned, self._folder):
            plan = planned.plan
            name = plan.workflow.name
            self._folders[name] = planned.source.folder or str(self._folder)
            if self._registered.get(name) == plan.hash:
                continue
            kept = await self._store.register(version_row(plan, self._project, time.time()))
            if name in self._registered:
                say(f"{name}: version {kept.version}")
            self._registered[name] = plan.hash

    async def follow(self, wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Until cancelled."""
        while True:
            await wait(EVERY)
            if await asyncio.to_thread(_stamps, self._folder) != self._stamps:
                await self.register()


def _planned(folder: Path) -> list[Planned]:
    from headrace.cli.files import plan_to_run
    from headrace.cli.problems import show_problems
    from headrace.engine.core.problems import InvalidWorkflow

    found: dict[str, Planned] = {}
    for file, names in workflows_below(folder):
        for one in names if file.suffix == ".py" else [None]:
            try:
                planned = plan_to_run(f"{file}:{one}" if one else str(file))
            except InvalidWorkflow as invalid:
                show_problems(invalid.problems, invalid.warnings)
                continue
            except OSError as error:
                say(f"{file}: {error.strerror or error}")
                continue
            name = planned.source.workflow.name
            if name in found:
                say(f"{file}: {name} is defined in {found[name].source.file} too; that one is used.")
                continue
            found[name] = planned
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
