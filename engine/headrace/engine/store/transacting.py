"""How a function over a SQLAlchemy connection is run: each adapter says it in its own way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from headrace.engine.ports.acts import Act
from headrace.engine.store import auditing

T = TypeVar("T")


class Transacting(ABC):
    """A database that is read and written in transactions."""

    @abstractmethod
    async def _read(self, what: Callable[..., T], *args: Any, **named: Any) -> T:
        """What the function answers over a connection that only reads. Raises StoreUnavailable."""

    @abstractmethod
    async def _write(self, what: Callable[..., T], *args: Any, repeatable: bool = True) -> T:
        """One transaction. What is `repeatable` finds its own work when it is done a second time. Raises StoreUnavailable, and
        OutcomeUnknown for what is not."""

    async def _change(
        self, act: Act | None, what: Callable[..., T], *args: Any, repeatable: bool = True
    ) -> T:
        """The same, with the line and the key of the act, which would be found by whoever did it again."""
        if act is None:
            return await self._write(what, *args, repeatable=repeatable)
        return await self._write(auditing.noted, act, what, *args, repeatable=False)
