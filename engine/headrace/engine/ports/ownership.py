"""Who owns which part, and which engines live."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Ownership(NamedTuple):
    part: int
    epoch: int
    seq: int
    next_offset: int


class PartSeen(NamedTuple):
    part: int
    epoch: int
    owner: str | None


class Survey(NamedTuple):
    """Who is alive and who owns what, in one look. `engines` are sorted; `now` is the database's time."""

    engines: tuple[str, ...]
    parts: tuple[PartSeen, ...]
    now: float


class Owning(Protocol):
    """Engines share the parts; each is owned by one at a time, and its epoch tells which."""

    async def parts(self) -> int:
        """How many parts the runs are spread over: fixed when the database was made (SQLite: 1)."""

    async def join(self, engine: str) -> None:
        """Be seen as a live engine: a session lock and a lease, renewed by a thread of its own until `close` or `resign`.
        Parts that an earlier process of this id owned are free. Raises StoreUnavailable, also when another process is that
        engine."""

    async def resign(self, engine: str) -> None:
        """Be seen no longer; parts that it still owns are free at once."""

    async def survey(self) -> Survey:
        """One query, cheap enough for four a second."""

    async def claim(self, part: int, owner: str, epoch: int | None = None) -> Ownership:
        """Epoch + 1, owned by `owner`, who joins when it has not yet; with `epoch`, only if the part is still at it.
        Raises StoreUnavailable: another engine was quicker, or (SQLite) another process holds the file's owner lock."""

    async def has_owner(self, part: int) -> bool:
        """Whether a live engine owns the part (SQLite: someone holds the lock on the side file)."""

    async def release(self, part: int, owner: str) -> None: ...
