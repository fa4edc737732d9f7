"""Passwords as argon2id hashes. Hashing takes 64 MiB and a tenth of a second by design, so it happens on threads, a few at a
time, and whoever would have to wait too long is told so. No Litestar here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from headrace.api.problems import Problem

if TYPE_CHECKING:
    from pwdlib.hashers.argon2 import Argon2Hasher

T = TypeVar("T")

SHORTEST, LONGEST = 12, 256
"""Characters of a password. The upper bound is for the hasher's sake."""
AT_ONCE = 2
WAITING = 16
"""How many passwords are hashed at once, and how many more may wait for that."""

# of a random password nobody knows: what is compared for a user who is not there, at the price of one who is
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$aGVhZHJhY2Utbm9ib2R5IQ$bm9ib2R5IGhhcyB0aGlzIHBhc3N3b3JkLCBub2JvZHk"


class Passwords:
    """Hashes and verifies; one for the process."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._inside = 0

    async def hash(self, password: str) -> str:
        """Raises Problem (503) when too many wait."""
        return await self._on_thread(lambda: hash_now(password))

    async def verify(self, password: str, hash: str | None) -> bool:
        """`hash` None, of a user who is unknown or cannot log in: takes as long, and is False. Raises Problem (503)."""
        return await self._on_thread(lambda: _verify(password, hash or _NOBODY)) and hash is not None

    async def _on_thread(self, work: Callable[[], T]) -> T:
        if self._inside >= AT_ONCE + WAITING:
            raise Problem(
                503,
                "busy",
                "Too many logins at once. Try again in a moment.",
                headers={"Retry-After": "2"},
            )
        self._inside += 1
        try:
            async with self._gate:
                return await asyncio.to_thread(work)
        finally:
            self._inside -= 1


def hash_now(password: str) -> str:
    """In this thread: for the command line."""
    return _hasher().hash(password)


def refused(password: str, name: str) -> str | None:
    """Why it cannot be the password of user `name`; None: it can."""
    if len(password) < SHORTEST:
        return f"A password has at least {SHORTEST} characters."
    if len(password) > LONGEST:
        return f"A password has at most {LONGEST} characters."
    if (len(name) > 3 and name.lower() in password.lower()) or len(set(password)) < 5:
        return "That password is too easily guessed."
    return None


def _verify(password: str, hash: str) -> bool:
    return _hasher().verify(password, hash)


def _hasher() -> Argon2Hasher:
    from pwdlib.hashers.argon2 import Argon2Hasher

    return Argon2Hasher()
