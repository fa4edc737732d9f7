"""Problems and warnings as planning finds them, with document paths made only for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice

from headrace.engine.core.problems import InvalidWorkflow, Path, Problem, did_you_mean

_HINTS = (
    50  # looking for the nearest name is slow; a file with more unknown names than this has another trouble
)
_CANDIDATES = 2_000


class Findings:
    """Collects problems (the workflow is refused) and warnings (it is not)."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._hints = 0

    def problem(
        self, code: str, message: str, path: Path = (), task: str | None = None, hint: str | None = None
    ) -> None:
        self.problems.append(Problem(code, message, hint, path, task))

    def warning(
        self, code: str, message: str, path: Path = (), task: str | None = None, hint: str | None = None
    ) -> None:
        self.warnings.append(Problem(code, message, hint, path, task))

    def nearest(self, name: str, names: Callable[[], Collection[str]]) -> str | None:
        """As `did_you_mean`, in bounded time however many names there are."""
        self._hints += 1
        if self._hints > _HINTS:
            return None
        known = names()
        if len(known) > _CANDIDATES:
            alike = (
                k
                for k in known
                if abs(len(k) - len(name)) <= 2 and (k[:1] == name[:1] or k[-3:] == name[-3:])
            )
            known = list(islice(alike, _CANDIDATES))
        return did_you_mean(name, known)

    def refuse(self) -> None:
        """Raises InvalidWorkflow when there is a problem."""
        if self.problems:
            raise InvalidWorkflow(self.problems, self.warnings)
