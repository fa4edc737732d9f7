"""Runs that are asked for on job-requests: each message becomes a run, or a dead letter that says why it did not.

A message may come again, and an engine may end in the middle of it: its place in the topic is the run's idempotency key
where it brings none of its own. Messages of one partition are taken in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.requests import Asked, RunRequest
from headrace.engine.ports.store import (
    Created,
    KeyTaken,
    NewRun,
    OutcomeUnknown,
    RunRow,
    StoreLost,
    StoreUnavailable,
    VersionRow,
)
from headrace.engine.ports.team import TeamStore
from headrace.engine.ports.workflow_settings import WorkflowSettings
from headrace.engine.shell.children import CheckParams
from headrace.engine.shell.clock import Clock
from headrace.engine.shell.plans import PlanMissing, Plans
from headrace.engine.shell.submission import begin, new_run

T = TypeVar("T")
_logger = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(RunRequest).decode

AT_ONCE = 8
"""Partitions whose messages are taken side by side."""

TOGETHER = 100
"""Runs created by one transaction."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
KEPT_BODY = 64 * 1024
"""Bytes of a message that its dead letter keeps."""

KEPT_REASON = 4_000


class _Prepared(NamedTuple):
    asked: Asked
    request: RunRequest
    run: NewRun
    digest: str  # of the message


class _Found(NamedTuple):
    """What a request asks for a run of."""

    version: VersionRow
    settings: WorkflowSettings


_Known: TypeAlias = dict[tuple[str, str, int | None], _Found]


class Unfit(Exception):
    """The message asks for no run that could be created; the text says why."""


class Intake:
    """Answers job-requests for one engine.

    Args:
        store: where runs begin. It is waited for while it cannot be used.
        plans: plans in use.
        check: completes and checks parameters.
        nudge: tells the owner of a part to look at its inbox.
        clock: where `created_at` comes from.
        project: of requests that name none.
    """

    def __init__(
        self,
        store: TeamStore,
        plans: Plans,
        check: CheckParams,
        nudge: Callable[[int], None],
        clock: Clock,
        *,
        project: str,
    ) -> None:
        self._store = store
        self._plans = plans
        self._check = check
        self._nudge = nudge
        self._clock = clock
        self._project = project
        self._places = asyncio.Semaphore(AT_ONCE)

    async def take(self, asked: Sequence[Asked]) -> None:
        """Returns when every message has become a run or a dead letter, and only then may the topic forget them."""
        queues: dict[tuple[str, int], list[Asked]] = {}
        for one in asked:
            queues.setdefault((one.topic, one.partition), []).append(one)
        known: _Known = {}
        async with asyncio.TaskGroup() as group:
            for queue in queues.values():
                group.create_task(self._in_order(queue, known))

    async def _in_order(self, queue: Sequence[Asked], known: _Known) -> None:
        """Runs without a business key are created together; one with a key when those before it are."""
        async with self._places:
            together: list[_Prepared] = []
            for asked in queue:
                prepared = await self._fit(asked, self._prepare(asked, known))
                if prepared is None:
                    continue
                together.append(prepared)
                if prepared.run.key is not None or len(together) == TOGETHER:
                    await self._begin(together)
                    together = []
            await self._begin(together)

    async def _begin(self, prepared: Sequence[_Prepared]) -> None:
        plain = [one.run for one in prepared if one.run.key is None]
        begun: set[str] = set()
        try:
            begun = {made.id for made in await self._patiently(lambda: self._store.create_runs(plain))}
        except StoreLost:
            raise
        except Exception:
            _logger.exception("requests could not be taken together; each is tried by itself")
        for part in {one.run.part for one in prepared if one.run.id in begun}:
            self._nudge(part)
        for one in prepared:
            if one.run.id not in begun:
                await self._fit(one.asked, self._begin_one(one))

    async def _begin_one(self, prepared: _Prepared) -> None:
        """Raises Unfit."""
        asked, request, run, digest = prepared
        by = request.requested_by or asked.topic
        try:
            created = await self._patiently(
                lambda: begin(self._store, run, request.on_conflict, self._nudge, by=by)
            )
        except KeyTaken as taken:
            raise Unfit(str(taken)) from None
        if created.existed and request.idempotency is not None and request.key is None:
            await self._require_same(created, request.idempotency, digest)

    async def _fit(self, asked: Asked, work: Awaitable[T]) -> T | None:
        """What the work answers; None, and a dead letter, when the message asks for no run that could be created."""
        try:
            return await work
        except Unfit as unfit:
            why = str(unfit)
        except StoreLost:
            raise
        except Exception as fault:
            # a fault of ours: the message must not hold back those behind it for ever
            _logger.exception("a request could not be taken (%s, partition %d, offset %d)", *asked[:3])
            why = f"It could not be taken: {type(fault).__name__}: {fault}"
        _logger.warning("a request was refused (%s, partition %d, offset %d): %s", *asked[:3], why)
        reason = why[:KEPT_REASON].replace("\0", "\N{REPLACEMENT CHARACTER}")
        row = PoisonRow(*asked[:3], -1, self._clock.now(), reason, asked.body[:KEPT_BODY])
        try:
            await self._patiently(lambda: self._store.park([row]))
        except StoreLost:
            raise
        except Exception:  # those behind it must not wait for it for ever
            _logger.exception("a request is dropped (%s, partition %d, offset %d)", *asked[:3])
        return None

    async def _prepare(self, asked: Asked, known: _Known) -> _Prepared | None:
        """None: the run is there already. Raises Unfit."""
        request = _read(asked.body)
        digest = blake2b(asked.body, digest_size=12).hexdigest()
        try:
            found = await self._found(request, known)
            return _Prepared(asked, request, await self._made(asked, request, found, digest), digest)
        except Unfit:
            # Was it taken once, before there was anything against it (a pause, a version with other parameters)?
            project, key = request.project or self._project, _idempotency(asked, request)
            begun = await self._patiently(lambda: self._store.run_asked_for(project, key))
            if begun is None or not _is_of(begun, digest):
                raise
            self._nudge(begun.part)  # whoever took it may have died before it did
            return None

    async def _found(self, request: RunRequest, known: _Known) -> _Found:
        """Looked up once a batch. Raises Unfit."""
        project, name = request.project or self._project, request.workflow
        wanted = project, name, request.version
        if wanted not in known:
            version = await self._patiently(lambda: self._store.version(*wanted))
            if version is None:
                which = "" if request.version is None else f"version {request.version} of "
                raise Unfit(f'There is no {which}workflow "{name}" in project "{project}".')
            settings = await self._patiently(lambda: self._store.workflow_settings(project, [name]))
            known[wanted] = _Found(version, settings.get(name) or WorkflowSettings(name))
        found = known[wanted]
        if found.settings.paused:
            raise Unfit(f'Workflow "{name}" is paused: nothing starts it until somebody resumes it.')
        return found

    async def _made(self, asked: Asked, request: RunRequest, found: _Found, digest: str) -> NewRun:
        """Raises Unfit."""
        trigger = {
            "kind": "request",
            "by": request.requested_by,
            "topic": asked.topic,
            "partition": asked.partition,
            "offset": asked.offset,
            "request": digest,
        }
        if asked.traceparent is not None:
            trigger["traceparent"] = asked.traceparent
        try:
            plan = (await self._plans.get(found.version.plan)).plan
            return new_run(
                plan,
                found.version,
                request.params,
                now=self._clock.now(),
                parts=await self._patiently(self._store.parts),
                trigger=trigger,
                check=self._check,
                priority=request.priority or found.settings.priority,
                key=request.key,
                idempotency=_idempotency(asked, request),
            )
        except InvalidWorkflow as invalid:
            raise Unfit(" ".join(problem.message for problem in invalid.problems)) from None
        except (PlanMissing, ValueError) as problem:
            raise Unfit(str(problem)) from None

    async def _require_same(self, created: Created, idempotency: str, digest: str) -> None:
        """Raises Unfit when the run was asked for by a message that said something else."""
        row = await self._patiently(lambda: self._store.run(created.no))
        if row is not None and not _is_of(row, digest):
            raise Unfit(
                f'The idempotency key "{idempotency}" belongs to run {created.id}, '
                "which another request has asked for."
            )

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` answers, once the store can be used. It may be done twice."""
        wait = FIRST_WAIT
        while True:
            try:
                return await call()
            except StoreLost:
                raise
            except (StoreUnavailable, OutcomeUnknown) as problem:
                _logger.warning("a request waits for the store: %s", problem)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)


def _read(body: bytes) -> RunRequest:
    """Raises Unfit."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unfit(f"It cannot be read as a request: {error}") from None
    except RecursionError:
        raise Unfit("It cannot be read as a request: it is nested too deeply") from None


def _is_of(run: RunRow, digest: str) -> bool:
    """Whether the run was asked for by a message of these very bytes."""
    return bool(msgspec.json.decode(run.trigger).get("request") == digest)


def _idempotency(asked: Asked, request: RunRequest) -> str:
    """By its place, and its time with it: a topic that is made anew counts from nought again."""
    if request.idempotency is not None:
        return f"request:{request.idempotency}"
    return f"{asked.topic}/{asked.partition}/{asked.offset}@{asked.stamp}"
