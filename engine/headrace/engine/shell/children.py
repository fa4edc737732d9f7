"""Child runs: started, told to stop, and reported to their parents. The rows they need travel in the parent's batch.

A child is created in the batch that makes its parent wait, and its end is told to the parent through the inbox in the
batch that makes it final; so neither can happen without the other, whichever engine owns which part.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from headrace.engine.core.decision import CancelChild, RunChange, StartChild
from headrace.engine.core.evaluation import Artifact, Secret
from headrace.engine.core.events import Error
from headrace.engine.core.keys import Key
from headrace.engine.core.plan import Plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.run import Generation
from headrace.engine.core.workflow import Child as ChildTask
from headrace.engine.core.workflow import Json
from headrace.engine.ports.store import InboxRow, NewRun, RunRow, VersionRow
from headrace.engine.shell.commands import ChildEndedBody
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.patient import PatientStore
from headrace.engine.shell.plans import PlanMissing, Plans
from headrace.engine.shell.times import day_of, rfc3339
from headrace.engine.shell.values import ValueCache

DEEPEST = 8
"""How deep children may nest (docs/language.md, section 4)."""


class CannotStart(Exception):
    """A child that cannot be started: `reason` is a code, the text is for the user."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


Resolver: TypeAlias = Callable[[str, str, "str | int", "str | None"], Awaitable[tuple[VersionRow, Plan]]]
"""(project, name, version or "latest", folder) → the version and its plan. Raises CannotStart or LookupError."""

CheckParams: TypeAlias = Callable[[Plan, Mapping[str, Json], Mapping[str, Json]], dict[str, Json]]
"""(plan, given, scope of `run` and `event`) → complete parameters. Raises InvalidWorkflow or ValueError."""


Resolved: TypeAlias = "dict[tuple[str, str, str | int, str | None], tuple[VersionRow, Plan]]"


class Child(NamedTuple):
    """A child to create with the batch."""

    run: NewRun
    plan: Plan


def store_resolver(store: PatientStore, plans: Plans) -> Resolver:
    """Looks children up among the registered workflows only."""

    async def resolve(
        project: str, name: str, version: str | int, folder: str | None
    ) -> tuple[VersionRow, Plan]:
        row = await store.version(project, name, version if isinstance(version, int) else None)
        if row is None:
            which = f"version {version} of " if isinstance(version, int) else ""
            raise CannotStart(
                "child_unknown", f'There is no {which}workflow "{name}" in project "{project}".'
            )
        try:
            return row, (await plans.get(row.plan)).plan
        except PlanMissing as missing:
            raise CannotStart("child_unknown", str(missing)) from missing

    return resolve


def given_params(plan: Plan, given: Mapping[str, Json], scope: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters without schema checks: plain defaults, unknown and missing ones refused. Raises ValueError."""
    declared = plan.workflow.params
    wrong = [f'unknown parameter "{name}"' for name in given if name not in declared]
    complete = dict(given)
    for name, schema in declared.items():
        if name not in complete:
            if "default" in schema:
                complete[name] = schema["default"]
            else:
                wrong.append(f'missing parameter "{name}"')
    if wrong:
        raise ValueError("; ".join(wrong))
    return complete


Entropy: TypeAlias = Callable[[int], bytes]
"""So many bytes that nobody can guess."""


def run_id(at: float, entropy: Entropy = os.urandom) -> str:
    """A new UUIDv7 in text form: its first 48 bits are the milliseconds of `at` (seconds since the epoch)."""
    value = (int(at * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(entropy(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(3 << 62) | 2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def part_of(run: str, parts: int) -> int:
    """The part that a run belongs to: computed once at its creation, then stored."""
    return zlib.crc32(run.encode()) % parts


def called(plan: Plan) -> frozenset[str]:
    """The workflows that a plan calls in their latest version."""
    known = plan.memo.get("called")
    if not isinstance(known, frozenset):
        works = (task.work for task in plan.tasks)
        known = frozenset(w.name for w in works if isinstance(w, ChildTask) and w.version == "latest")
        plan.memo["called"] = known
    return known


class Children:
    """Starts, stops and reports children for one engine. `parts`: how many parts runs are spread over."""

    def __init__(
        self,
        store: PatientStore,
        values: ValueCache,
        resolver: Resolver,
        check_params: CheckParams,
        parts: int,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._store = store
        self._values = values
        self._resolver = resolver
        self._check = check_params
        self.parts = parts
        self._entropy = entropy

    async def start(self, live: LiveRun, effect: StartChild, now: float, known: Resolved) -> Child:
        """The child's run, to be created by the batch. `known` spares a turn's further look-ups of the same workflow.

        Raises CannotStart.
        """
        row = live.row
        if row.depth + 1 > DEEPEST:
            raise CannotStart("child_too_deep", f"Children nest at most {DEEPEST} deep.")
        fixed = await self.fix(live)
        wanted = row.project, effect.workflow, _version(effect, fixed), row.folder
        if wanted not in known:
            known[wanted] = await self._resolve(row, effect.workflow, wanted[2])
        version, plan = known[wanted]
        child = run_id(now, self._entropy)
        scope = {
            "run": {
                "id": child,
                "workflow": version.name,
                "version": version.version,
                "trigger": "parent",
                "scheduled_at": rfc3339(now),
                "date": day_of(now),
                "started_at": None,
            },
            "event": None,
        }
        try:
            params = self._check(plan, await self._given(effect), scope)
        except InvalidWorkflow as invalid:
            raise CannotStart("invalid_input", "; ".join(str(p) for p in invalid.problems)) from invalid
        except ValueError as invalid:
            raise CannotStart("invalid_input", str(invalid)) from invalid
        key = effect.key
        generation = live.decision.generation
        trigger = {"kind": "parent", "run": row.id, "task": live.using.plan.ids[key.task], "map": key.map}
        if live.trace is not None:
            trigger["traceparent"] = live.trace
        return Child(
            NewRun(
                id=child,
                project=row.project,
                workflow=version.name,
                version=version.version,
                plan=version.plan,
                part=part_of(child, self.parts),
                params=msgspec.json.encode(params),
                trigger=msgspec.json.encode(trigger),
                created_at=now,
                scheduled_at=now,
                priority=row.priority,
                idempotency=f"{live.no}:{generation}:{key.task}:{key.map}",
                parent=(live.no, generation, key.task, key.map),
                depth=row.depth + 1,
                folder=row.folder,
                file=row.file,
                tags=version.tags,
            ),
            plan,
        )

    async def fix(self, live: LiveRun) -> Mapping[str, int]:
        """The versions of the workflows that a run calls, fixed when it starts, or goes on with another version itself.

        What is registered later concerns later runs. A workflow that cannot be had yet is looked for when it is called.
        """
        names, status = called(live.using.plan), live.machine.status
        if not names or status.started_at is None:
            return {}
        base = status.base
        began = next((g for g in status.generations if g.number == base), None)
        if began is None:
            began = Generation(base)
            status.generations.insert(0, began)
        elif began.children or began.moved is None:
            return began.children
        versions = {}
        for name in sorted(names):
            try:
                versions[name] = (await self._resolve(live.row, name, "latest"))[0].version
            except CannotStart:
                continue
        began.children = versions
        live.fixed = True
        return versions

    async def stop(self, live: LiveRun, effect: CancelChild, now: float) -> InboxRow | None:
        """The command that cancels a child; None when it has none that is still live."""
        generation = live.decision.generation
        key = effect.key
        for child in await self._store.children(live.no):
            parent = child.parent
            if parent is None or child.finished_at is not None:
                continue
            if child.id == effect.child or (
                not effect.child and parent[1:] == (generation, key.task, key.map)
            ):
                kind = "kill" if effect.kill else "cancel"
                body = msgspec.json.encode({"by": f"run {live.row.id}", "reason": "parent_cancelled"})
                return InboxRow(0, child.part, child.no, kind, body, now)
        return None

    async def ended(self, live: LiveRun, change: RunChange, now: float) -> InboxRow | None:
        """What tells the parent of a final run about its end."""
        parent = live.row.parent
        if parent is None:
            return None
        no, generation, task, map_ = parent
        part = live.row.part if self.parts == 1 else await self._part(no)
        if part is None:
            return None
        body = ChildEndedBody(
            key=(generation, task, map_),
            child=live.row.id,
            state=change.state.word,
            output=msgspec.Raw(change.output or b"null"),
            artifact=change.artifact,
            error=change.reason if change.output is None else None,
        )
        return InboxRow(0, part, no, "child_ended", msgspec.json.encode(body), now)

    async def _part(self, no: int) -> int | None:
        row = await self._store.run(no)
        return None if row is None else row.part

    async def _resolve(self, row: RunRow, name: str, version: str | int) -> tuple[VersionRow, Plan]:
        try:
            return await self._resolver(row.project, name, version, row.folder)
        except InvalidWorkflow as invalid:
            raise CannotStart(
                "child_invalid",
                f'Workflow "{name}" is invalid: ' + "; ".join(str(p) for p in invalid.problems),
            ) from invalid
        except LookupError as unknown:
            raise CannotStart(
                "child_unknown", str(unknown.args[0]) if unknown.args else str(unknown)
            ) from unknown

    async def _given(self, effect: StartChild) -> Mapping[str, Json]:
        """The judged parameters, with artifacts loaded into their holes."""
        judged = effect.params.value or {}
        value: Any = judged.get("with", {})
        if not effect.params.holes:
            return dict(value)
        value = msgspec.json.decode(msgspec.json.encode(judged))
        for hole in effect.params.holes:
            if any(isinstance(part, Secret) for part in hole.parts):
                raise CannotStart(
                    "invalid_input", "A secret cannot be a child's parameter: name it in the child."
                )
            parts = [await self._content(part) for part in hole.parts]
            filled = parts[0] if len(parts) == 1 else "".join(map(as_text, parts))
            target = value
            for step in hole.path[:-1]:
                target = target[step]
            target[hole.path[-1]] = filled
        return dict(value.get("with", {}))

    async def _content(self, part: str | Secret | Artifact) -> Json:
        if not isinstance(part, Artifact):
            return part
        content = await self._values.load(part)
        if isinstance(content, Artifact):
            raise CannotStart(
                "invalid_input", "A parameter's value is too large to be loaded, or is missing."
            )
        return content


def _version(effect: StartChild, fixed: Mapping[str, int]) -> str | int:
    return fixed.get(effect.workflow, "latest") if effect.version == "latest" else effect.version


def as_text(part: Json) -> str:
    if part is None:
        return ""
    return part if isinstance(part, str) else msgspec.json.encode(part).decode()


def refusal(key: Key, refused: CannotStart) -> Error:
    """The error that the parent's task fails with."""
    return Error("child", str(refused), reason=refused.reason, retryable=False)
