"""The end of a server, told to what would go on for ever. No Litestar here."""

from __future__ import annotations

from collections.abc import Callable


class Ending:
    """Kept as `ending` in the application's state; the server calls `begin` on its loop when it is told to end."""

    def __init__(self) -> None:
        self._begun = False
        self._watching: dict[object, Callable[[], None]] = {}

    @property
    def begun(self) -> bool:
        return self._begun

    def begin(self) -> None:
        """Everybody who watches is called once, in no order."""
        if self._begun:
            return
        self._begun = True
        for told in list(self._watching.values()):
            told()

    def watch(self, told: Callable[[], None]) -> Callable[[], None]:
        """Have `told` called when the end begins; at once when it has. What this gives ends the watching."""
        if self._begun:
            told()
        place = object()
        self._watching[place] = told
        return lambda: self._watching.pop(place, None) and None
