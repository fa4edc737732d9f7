"""Who asks a simulated world for runs and gives commands: what the HTTP API does with the store, and its callers' patience.

Whatever was not acknowledged is asked for again, under the same key, by the process that comes after one that died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from headrace.engine.core.keys import written
from headrace.engine.core.states import RunState
from headrace.engine.ports.acts import Act as Done
from headrace.engine.ports.acts import Once, Repeated
from headrace.engine.ports.letters import Requeue
from headrace.engine.ports.store import (
    DEFAULT_PROJECT,
    InboxRow,
    NewRun,
    OutcomeUnknown,
    StoreUnavailable,
    VersionRow,
)
from headrace.engine.shell import submission
from headrace.engine.shell.children import given_params
from headrace.testing.simulation.faults import Act
from headrace.testing.simulation.people import People
from headrace.testing.simulation.processes import Ground, Process
from headrace.testing.simulation.script import Asked
from headrace.testing.simulation.shapes import FIRST_CROWD, SHAPES, Shape
from headrace.testing.simulation.store import SimulatedStore
from headrace.testing.simulation.timeline import ProcessLoop

T = TypeVar("T")
AGAIN_AFTER = 0.4
LOOK_EVERY = 1.0
"""So often somebody who wants to requeue looks whether the run has ended."""
FOREVER = 1e12


def version_of(shape: Shape) -> VersionRow:
    """The shape as registered."""
    name = shape.plan.workflow.name
    return VersionRow(DEFAULT_PROJECT, name, 1, shape.plan.hash, shape.document, None, (), 0.0)


class Client(Process):
    """One process of the API, and those who call it. `accepted`: by the place of an asked run, its number."""

    kind = "client"

    def __init__(self, ground: Ground, asked: tuple[Asked, ...], shapes: list[Shape]) -> None:
        super().__init__(ground, 0)
        self._asked = asked
        self._shapes = shapes
        self._runs: dict[int, NewRun] = {}
        self._open: list[tuple[str, Act]] = []
        self._said = 0
        self._requeues: dict[
            str, list[Requeue]
        ] = {}  # what was asked for and not acknowledged, as it was asked for
        self.accepted: dict[int, int] = {}

    @property
    def busy(self) -> bool:
        """Whether something was asked for and is not acknowledged."""
        return len(self.accepted) < len(self._asked) or bool(self._open)

    def wants(self, what: str) -> bool:
        """Whether such a command was given and is not acknowledged."""
        return any(act.what == what for _, act in self._open)

    def command(self, act: Act) -> None:
        """Somebody gives a command; it is given again until it is acknowledged."""
        self._said += 1
        intent = f"command-{self._said}", act
        self._open.append(intent)
        if self.loop is not None and self.alive:
            self.loop.create_task(self._command(self.loop, *intent))

    async def _life(self, loop: ProcessLoop) -> None:
        for place in range(len(self._asked)):
            if place not in self.accepted:
                loop.create_task(self._ask(loop, place))
        if any(SHAPES <= shape.number < FIRST_CROWD for shape in self._shapes):
            store, ground = SimulatedStore(self.ground.database, loop), self.ground
            people = People(ground.database, store, ground.timeline.random, self._nudge)
            loop.create_task(people.live())
        for intent in list(self._open):
            loop.create_task(self._command(loop, *intent))

    async def _end(self, loop: ProcessLoop) -> None:
        loop.die()

    def _nudge(self, part: int) -> None:
        self.ground.broker.engine_side().nudge(part)

    async def _ask(self, loop: ProcessLoop, place: int) -> None:
        asked, shape, ground = self._asked[place], self._shapes[place], self.ground
        wait = asked.at - ground.timeline.now
        if wait > 0:
            await asyncio.sleep(wait)
        run = self._runs.get(place)
        if run is None:
            run = self._runs[place] = submission.new_run(
                shape.plan,
                version_of(shape),
                {},
                now=ground.database.now(),
                parts=ground.database.parts,
                trigger={"kind": "manual"},
                check=given_params,
                idempotency=f"asked-{place}",
                entropy=ground.entropy,
            )
        store = SimulatedStore(ground.database, loop)
        created = await _until(lambda: submission.begin(store, run, "use_existing", self._nudge, by="client"))
        self.accepted[place] = created.no

    async def _command(self, loop: ProcessLoop, by: str, act: Act) -> None:
        while not self.accepted:  # noqa: ASYNC110 - nobody tells: another process may have asked for it
            await asyncio.sleep(AGAIN_AFTER)
        numbers = sorted(self.accepted)
        place = numbers[act.whom % len(numbers)]
        await self._give(loop, by, act, place)
        if act.seconds:  # whoever asked has not heard of it
            await asyncio.sleep(act.seconds)
            await self._give(loop, by, act, place)
        self._open = [intent for intent in self._open if intent[0] != by]

    async def _give(self, loop: ProcessLoop, by: str, act: Act, place: int) -> None:
        no, store = self.accepted[place], SimulatedStore(self.ground.database, loop)
        if act.what == "requeue":
            while not await _until(lambda: self._requeue(store, by, no)):  # noqa: ASYNC110 - people look now and then
                await asyncio.sleep(LOOK_EVERY)
        else:
            await _until(lambda: self._post(store, by, act, no, self._shapes[place]))

    async def _post(self, store: SimulatedStore, by: str, act: Act, no: int, shape: Shape) -> None:
        row = await store.run(no)
        if row is None:
            return
        ids = shape.plan.ids
        task = ids[act.amount % len(ids)]
        kind, body = act.what, {"by": by}
        if kind == "kill_run":
            kind = "kill"
        elif kind == "rerun":
            body["from"] = "failed"
        elif kind == "rerun_task":
            kind = "rerun"
            body["from"] = [task]  # type: ignore[assignment]
        elif kind == "task":
            body["task"] = task if act.amount % 3 else f"{task}[0]"
            body["action"] = ("retry", "skip", "succeed", "cancel")[act.amount // 4 % 4]
        told = InboxRow(0, row.part, no, kind, msgspec.json.encode(body), self.ground.database.now())
        with suppress(Repeated):
            await store.post(told, act=self._done(by, kind, row.id))
        self._nudge(row.part)

    async def _requeue(self, store: SimulatedStore, by: str, no: int) -> bool:
        """Whether it is done, or nothing is left to do: the run has ended."""
        asked = self._requeues.get(by)
        if asked is not None:
            await store.requeue(asked, by, self.ground.database.now())
            return True
        row = await store.run(no)
        if row is None or not RunState(row.state).final:
            return row is None
        found = await store.dead_letters(DEFAULT_PROJECT, state="open")
        letters = [letter for letter in found if letter.run == no]
        if not letters:
            return True
        tasks = sorted({written(letter.task_id, letter.map) for letter in letters})
        body = msgspec.json.encode({"by": by, "from": tasks})
        command = InboxRow(0, row.part, no, "rerun", body, self.ground.database.now())
        wanted = self._requeues[by] = [Requeue(tuple(letter.id for letter in letters), command)]
        await store.requeue(wanted, by, self.ground.database.now())
        self._nudge(row.part)
        return True

    def _done(self, by: str, kind: str, run: str) -> Done:
        at = self.ground.database.now()
        return Done(DEFAULT_PROJECT, at, by, None, f"run.{kind}", f"run {run}", b"{}", Once(by, by, FOREVER))


async def _until(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat it until it is answered."""
    while True:
        try:
            return await call()
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(AGAIN_AFTER)
