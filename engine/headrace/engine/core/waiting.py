"""What a wait has come to so far: its row holds it as JSON until it ends. Times are seconds since the epoch, UTC."""

from __future__ import annotations

import json
from typing import NamedTuple

from headrace.engine.core.workflow import Json


class Vote(NamedTuple):
    """One person who agreed."""

    by: str
    at: float
    form: Json = None
    comment: str | None = None


class Asked(NamedTuple):
    """An approval: what is asked, and who has agreed."""

    title: str | None
    since: float
    expires_at: float | None
    votes: tuple[Vote, ...] = ()


class Sought(NamedTuple):
    """One signal that is waited for. `key` None takes any; those sent before `after` are too old."""

    name: str
    key: str | None
    after: float


class Come(NamedTuple):
    """A signal that counted. `place`: for which of those that are sought; `signal`: its id."""

    place: int
    signal: int
    payload: Json


class Listening(NamedTuple):
    """A wait for signals."""

    sought: tuple[Sought, ...]
    since: float
    expires_at: float | None
    come: tuple[Come, ...] = ()


def asked_of(data: bytes) -> Asked:
    title, since, expires_at, votes = json.loads(data)
    return Asked(title, since, expires_at, tuple(Vote(*vote) for vote in votes))


def listening_of(data: bytes) -> Listening:
    sought, since, expires_at, come = json.loads(data)
    return Listening(
        tuple(Sought(*one) for one in sought), since, expires_at, tuple(Come(*one) for one in come)
    )
