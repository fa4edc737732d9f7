"""What live streams say, as JSON. Times are RFC 3339 in UTC. No Litestar here."""

from __future__ import annotations

from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode


class Failure(msgspec.Struct):
    """Why an attempt failed. `message` is null for those who may not see what tasks say."""

    kind: str
    message: str | None


class Moved(msgspec.Struct):
    """A task run (`task`, as written: `price[7]`) or the run itself (`task` null) went from one state to another. `seq`: the row of
    the run's history that says so."""

    run: str
    seq: int
    at: str
    task: str | None
    before: str
    state: str
    reason: str | None
    attempt: int
    generation: int
    error: Failure | None = None


class End(msgspec.Struct):
    """The run has ended, and all of it was told."""

    run: str
    state: str
    reason: str | None


class Gap(msgspec.Struct, rename={"from_": "from"}):
    """What lies behind the id `from`, up to the id `to`, was not told here. `why`: slow (the client took too little; connect with
    `from` as Last-Event-ID to read it), expired (it is no longer kept), ahead (there is nothing behind `from`, the database has
    gone back or the id is of another run), unmarked (the next connection begins from the beginning)."""

    from_: str | None
    to: str | None
    why: str


class Standing(msgspec.Struct):
    """How a run of the project stands now. `tasks`: how many task runs are in each state; null when that is not known."""

    run: str
    workflow: str
    version: int
    state: str
    reason: str | None
    generation: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    tasks: dict[str, int] | None


class Line(msgspec.Struct):
    """One line of an attempt; `number` counts from 0."""

    task: str
    generation: int
    attempt: int
    number: int
    at: str
    stream: str
    text: str


class Lines(msgspec.Struct):
    """Lines in the order in which they became known; those of one attempt in the order of writing."""

    lines: list[Any]


class Broken(msgspec.Struct):
    """The stream cannot go on."""

    code: str
    detail: str
