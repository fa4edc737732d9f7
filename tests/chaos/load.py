"""Who asks a world of chaos for runs and gives commands, and asks again until it is acknowledged, under the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from headrace.engine.core.keys import written
from headrace.engine.core.states import RunState
from headrace.engine.ports.acts import Act, Once, Repeated
from headrace.engine.ports.letters import Requeue
from headrace.engine.ports.pools import POOLS as CHANGED
from headrace.engine.ports.pools import PoolRow
from headrace.engine.ports.store import (
    DEFAULT_PROJECT,
    InboxRow,
    NewRun,
    OutcomeUnknown,
    Store,
    StoreUnavailable,
    VersionRow,
)
from headrace.engine.shell import submission
from headrace.engine.shell.children import given_params, part_of
from headrace.runners.authored import version_row
from headrace.testing.simulation.shapes import POOLS, Shape, shape
from tests.chaos.script import Command, Script

T = TypeVar("T")
AGAIN_AFTER = 0.1
FOREVER = 1e12


async def _until(call: Callable[[], Awaitable[T]]) -> T:
    """Ask until it is answered."""
    while True:
        try:
            return await call()
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(AGAIN_AFTER)


class Load:
    """`accepted`: by the place of a request, the run that it was acknowledged with. `commands`: who gave one, to which run."""

    def __init__(self, store: Store, script: Script, parts: int) -> None:
        self._store = store
        self._script = script
        self._parts = parts
        self._versions: dict[str, VersionRow] = {}
        self._runs: list[tuple[int, Shape]] = []
        self.accepted: dict[str, int] = {}
        self.commands: dict[str, int] = {}

    async def register(self, shapes: Sequence[Shape]) -> None:
        """Those that are asked for, and those that they call."""
        now = (await self._store.survey()).now
        home = part_of(DEFAULT_PROJECT, self._parts)
        for name, slots in POOLS.items():
            row = PoolRow(DEFAULT_PROJECT, name, slots, None, "chaos", now)
            await self._store.put_pool(row, InboxRow(0, home, None, CHANGED, b"{}", now))
        for each in shapes:
            version = version_row(each.plan, DEFAULT_PROJECT, now)
            self._versions[each.plan.hash] = await self._store.register(version)

    async def play(self) -> None:
        """All requests and commands, each at its moment. Returns when all are acknowledged."""
        async with asyncio.TaskGroup() as group:
            for place, (at, number) in enumerate(self._script.asked):
                group.create_task(self._ask(f"request {place}", at, shape(number)))
            for place, command in enumerate(self._script.commands):
                group.create_task(self._command(f"command {place}", command))

    async def _ask(self, by: str, at: float, what: Shape) -> None:
        await asyncio.sleep(at)
        run: NewRun = submission.new_run(
            what.plan,
            self._versions[what.plan.hash],
            {},
            now=(await _until(self._store.survey)).now,
            parts=self._parts,
            trigger={"kind": "manual", "by": by},
            check=given_params,
            idempotency=by,
        )
        created = await _until(lambda: self._store.create_run(run))
        self.accepted[by] = created.no
        self._runs.append((created.no, what))

    async def _command(self, by: str, command: Command) -> None:
        await asyncio.sleep(command.at)
        while not self._runs:  # noqa: ASYNC110 - nobody tells: the database may be away
            await asyncio.sleep(AGAIN_AFTER)
        no, what = self._runs[command.whom % len(self._runs)]
        if command.what == "requeue":
            await self._requeue(by, no)
        elif command.what == "pause":
            await self.post(by, no, "pause", {})
            await asyncio.sleep(1.0)
            await self.post(f"{by}, undone", no, "resume", {})
        else:
            await self.post(by, no, *_said(command, what.plan.ids))

    async def post(self, by: str, no: int, kind: str, body: dict[str, object]) -> None:
        """Give a command about a run; it is in the inbox once, however often that was tried."""
        row = await _until(lambda: self._store.run(no))
        assert row is not None, f"run {no} is not there"
        now = (await _until(self._store.survey)).now
        told = InboxRow(0, row.part, no, kind, msgspec.json.encode({**body, "by": by}), now)
        done = Act(
            DEFAULT_PROJECT, now, by, None, f"run.{kind}", f"run {row.id}", b"{}", Once(by, by, FOREVER)
        )
        with suppress(Repeated):
            await _until(lambda: self._store.post(told, act=done))
        self.commands[by] = no

    async def _requeue(self, by: str, no: int) -> None:
        """Requeue what failed, if it has ended and something did."""
        row = await _until(lambda: self._store.run(no))
        found = await _until(lambda: self._store.dead_letters(DEFAULT_PROJECT, state="open"))
        letters = [letter for letter in found if letter.run == no]
        if row is None or not RunState(row.state).final or not letters:
            return
        tasks = sorted({written(letter.task_id, letter.map) for letter in letters})
        now = (await _until(self._store.survey)).now
        body = msgspec.json.encode({"by": by, "from": tasks})
        command = InboxRow(0, row.part, no, "rerun", body, now)
        wanted = [Requeue(tuple(letter.id for letter in letters), command)]
        done = Act(
            DEFAULT_PROJECT, now, by, None, "letters.requeue", f"run {row.id}", b"{}", Once(by, by, FOREVER)
        )
        try:
            posted = bool(await _until(lambda: self._store.requeue(wanted, by, now, act=done)))
        except Repeated:
            posted = True
        if posted:  # else somebody dealt with the letters meanwhile, and nothing was asked for
            self.commands[by] = no


def _said(command: Command, ids: Sequence[str]) -> tuple[str, dict[str, object]]:
    task = ids[command.amount % len(ids)]
    match command.what:
        case "rerun":
            return "rerun", {"from": "failed"}
        case "rerun_task":
            return "rerun", {"from": [task]}
        case "task":
            action = ("retry", "skip", "succeed", "cancel")[command.amount // 4 % 4]
            return "task", {"task": task if command.amount % 3 else f"{task}[0]", "action": action}
    return command.what, {}
