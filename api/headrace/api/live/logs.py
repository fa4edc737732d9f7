"""What the tasks of one run write, for all who follow it in this process. No Litestar here.

Lines are counted per attempt, in the order of writing; a frame's id says how many of each were told. A client that comes late,
comes back, or was too slow for the tape has what it lacks read for it, attempt by attempt, until it has as much as the tape.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.api.live import words
from headrace.api.live.frames import PING, frame, hello
from headrace.api.live.marks import MOST, Attempt, counts_of, marked
from headrace.api.live.runs import AGAIN_AFTER, LONGEST, PING_EVERY, RunTale, broken
from headrace.api.live.tape import ROOM, Reader, Tape
from headrace.api.showing.times import instant
from headrace.engine.core.keys import written
from headrace.engine.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from headrace.engine.ports.artifacts import LogReader
    from headrace.engine.ports.messages import Log
    from headrace.runners.redaction import Redactor

GATHERED = 0.05
"""Seconds for which lines are gathered into one frame."""
MOST_LINES, MOST_SIZE = 200, 32 * 1024
"""Lines and characters of a frame."""
PAGE = 2_000
LINGER = 2.0
"""Seconds for which lines may still come after a run has ended."""
NEVER = float("inf")
"""When the last line was heard, while nobody knows whether there are more: not all that is there was read yet."""

_logger = logging.getLogger(__name__)


class Written(NamedTuple):
    """A line, told: whose, which, and its JSON."""

    attempt: Attempt
    number: int
    data: msgspec.Raw


class LogBlock(NamedTuple):
    """Some lines as one frame, for those who have everything before. `id`: how far that is, or "" (`marked`)."""

    no: int
    lines: Sequence[Written]
    frame: bytes
    id: str

    @property
    def size(self) -> int:
        return 3 * len(self.frame)


class LogTale:
    """The lines of a run."""

    def __init__(self, logs: LogReader, run: str, redactor: Redactor, *, room: int = ROOM) -> None:
        self.tape: Tape[LogBlock] = Tape(0, room)
        self.fault: Exception | None = None
        self._logs, self._run, self._redactor = logs, run, redactor
        self._counts: dict[Attempt, int] = {}  # lines on the tape and before
        self._pending: list[Log] = []
        self._size = 0
        self._there = asyncio.Event()
        self._heard_at = NEVER

    # -- following ---------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Until cancelled, or broken."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._gather())
                group.create_task(self._read_on())
        except* Exception as faults:
            _logger.exception("lines of run %s cannot be followed", self._run)
            self.fault = faults.exceptions[0]
            self.tape.wake()

    async def _read_on(self) -> None:
        while True:
            try:
                await self._read()
            except StoreUnavailable as problem:
                _logger.info("lines of run %s come again when the store is back: %s", self._run, problem)
                self._heard_at = NEVER
                await asyncio.sleep(AGAIN_AFTER)

    def _looked(self) -> None:
        """What there is was read: from now on silence means that there is no more."""
        if self._heard_at == NEVER:
            self._heard_at = asyncio.get_running_loop().time()
            self.tape.wake()

    async def _read(self) -> None:
        passed: dict[Attempt, int] = {}  # of what was followed before an outage
        again = dict(self._counts)
        for line in self._pending:
            name = _name(line)
            again[name] = again.get(name, 0) + 1
        async with aclosing(self._logs.follow(self._run, self._looked)) as lines:  # type: ignore[type-var]
            async for line in lines:
                if again:
                    name = _name(line)
                    passed[name] = passed.get(name, 0) + 1
                    if passed[name] <= again.get(name, 0):
                        continue
                self._pending.append(line)
                self._size += len(line.text)
                if len(self._pending) >= MOST_LINES or self._size >= MOST_SIZE:
                    self._flush()
                    await asyncio.sleep(0)
                self._there.set()

    async def _gather(self) -> None:
        while True:
            await self._there.wait()
            await asyncio.sleep(GATHERED)
            self._there.clear()
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        lines, self._pending, self._size = self._pending, [], 0
        told = [self._told(line) for line in lines]
        if self._heard_at != NEVER:
            self._heard_at = asyncio.get_running_loop().time()
        id = marked(self._counts)
        self.tape.add(LogBlock(self.tape.end + 1, told, _frame([line.data for line in told], id), id))

    def _told(self, line: Log) -> Written:
        name = _name(line)
        number = self._counts.get(name, 0)
        self._counts[name] = number + 1
        return Written(name, number, self._raw(line, number))

    def _raw(self, line: Log, number: int) -> msgspec.Raw:
        said = words.Line(
            written(line.task_id, line.map),
            line.generation,
            line.attempt,
            number,
            instant(line.at),
            line.stream,
            self._redactor.text(line.text),
        )
        try:
            return msgspec.Raw(words.encode(said))
        except UnicodeEncodeError:  # lone surrogates have no UTF-8 form
            said.text = said.text.encode(errors="backslashreplace").decode()
            return msgspec.Raw(words.encode(said))

    # -- telling -----------------------------------------------------------------------------------------------------

    async def told(
        self, reader: Reader, seen: Mapping[Attempt, int], run: RunTale, now: int
    ) -> AsyncGenerator[bytes, None]:
        """One client's stream, until the run has ended and its lines were told.

        Args:
            seen: how many lines of each attempt it has.
            run: the same run's events, which know when it ends.
            now: how far the run's history went when the client came.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        tape = self.tape
        own: dict[Attempt, int] | None = dict(seen)  # None: it has what the tape has at `done`, exactly
        done = 0
        if not own and tape.begin == 0:
            own = None
        last = ""  # the id of what it had last, while it has what the tape has
        unmarked = False
        unwatching = [tape.watch(reader.wake), run.tape.watch(reader.wake)]
        yield hello()
        try:
            while not reader.over and loop.time() < until:
                if (fault := self.fault or run.fault) is not None:
                    yield broken(fault)
                    return
                blocks = tape.since(done)
                if blocks is None:
                    if own is None and done and not last:
                        done = tape.end
                        yield frame("gap", words.encode(words.Gap(None, None, "slow")))
                        continue
                    own = counts_of(last) if own is None else own
                    async for data in self._missed(own):
                        yield data
                        if reader.over:
                            return
                    done = tape.end  # nothing was awaited since `own` was found to have all of it
                    if own == self._counts:
                        own, last = None, marked(self._counts)
                    continue
                for block in blocks:
                    done = block.no
                    if own is None:
                        last = block.id
                        yield block.frame
                        continue
                    new = [line for line in block.lines if line.number >= own.get(line.attempt, 0)]
                    own.update((line.attempt, line.number + 1) for line in new)
                    if new:
                        yield _frame([line.data for line in new], marked(own))
                if blocks:
                    if own is not None and done == tape.end and own == self._counts:
                        own, last = None, marked(self._counts)
                    if not unmarked and len(self._counts) > MOST:
                        unmarked = True
                        yield frame("gap", words.encode(words.Gap(None, None, "unmarked")))
                    continue
                left = self._heard_at + LINGER - loop.time()
                ended = run.stand.final and run.tape.end >= now
                if ended and left <= 0 and not self._pending:
                    stand = run.stand
                    yield frame("end", words.encode(words.End(self._run, stand.word, stand.reason)))
                    return
                wait = min(PING_EVERY, left) if ended else PING_EVERY
                if not await reader.pause(max(wait, 0.05)) and wait == PING_EVERY:
                    yield PING
        except StoreUnavailable as problem:
            _logger.info("a stream of lines of run %s ends early: %s", self._run, problem)
        finally:
            for unwatch in unwatching:
                unwatch()

    async def _missed(self, own: dict[Attempt, int]) -> AsyncGenerator[bytes, None]:
        """What is on the tape, or was, and not in `own`. In the end `own` has all of it."""
        while behind := [name for name, count in self._counts.items() if own.get(name, 0) < count]:
            for name in behind:
                begin, end = own.get(name, 0), self._counts[name]
                _, generation, attempt, place = name
                lines = await self._logs.read(
                    self._run, name.task, place, generation, attempt, begin, min(PAGE, end - begin)
                )
                for part in _frames(lines):
                    raws = [self._raw(line, own.get(name, 0) + at) for at, line in enumerate(part)]
                    own[name] = own.get(name, 0) + len(part)
                    yield _frame(raws, marked(own))
                if not lines:  # no longer kept
                    own[name] = end


def _frames(lines: Sequence[Log]) -> Iterator[Sequence[Log]]:
    """Lines in as many as one frame holds."""
    begin = size = 0
    for at, line in enumerate(lines):
        if at > begin and (at - begin >= MOST_LINES or size + len(line.text) > MOST_SIZE):
            yield lines[begin:at]
            begin, size = at, 0
        size += len(line.text)
    if begin < len(lines):
        yield lines[begin:]


def _frame(lines: Sequence[msgspec.Raw], id: str) -> bytes:
    return frame("lines", words.encode(words.Lines(list(lines))), id)


def _name(line: Log) -> Attempt:
    return Attempt(line.task_id, line.generation, line.attempt, line.map)
