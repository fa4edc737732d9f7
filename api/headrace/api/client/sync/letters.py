"""Dead letters, and messages that nobody could read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.api.client.models import (
    DiscardAnswer,
    GroupEntry,
    LetterDetail,
    LetterEntry,
    PoisonEntry,
    RequeueAnswer,
)
from headrace.api.client.sync.connection import Connection
from headrace.api.paging import MOST, Page


class Letters:
    """`client.letters`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self,
        *,
        workflow: str | None = None,
        task: str | None = None,
        fingerprint: str | None = None,
        state: str | None = None,
        before: int | None = None,
        most: int | None = None,
    ) -> Iterator[LetterEntry]:
        """Newest first, those for which everything given is true; `fingerprint` may be the beginning of one. `before`: only below
        this id."""
        return self._connection.pages(
            LetterEntry,
            "dead-letters",
            most=most,
            workflow=workflow,
            task=task,
            fingerprint=fingerprint,
            state=state,
            before=before,
        )

    def groups(
        self,
        *,
        workflow: str | None = None,
        task: str | None = None,
        state: str | None = None,
        most: int = MOST,
    ) -> Sequence[GroupEntry]:
        """Those of one kind together, the kind with the newest letter first."""
        found = self._connection.get(
            Page[GroupEntry], "dead-letters", "groups", workflow=workflow, task=task, state=state, limit=most
        )
        return found.items

    def get(self, letter: int) -> LetterDetail:
        """One whole: error, inputs, attempts."""
        return self._connection.get(LetterDetail, "dead-letters", letter)

    def requeue(
        self,
        letters: Sequence[int] | None = None,
        *,
        workflow: str | None = None,
        task: str | None = None,
        fingerprint: str | None = None,
        canary: bool | int = True,
    ) -> RequeueAnswer:
        """Begin their runs again from what failed: those of these ids, or all open ones that fit the others given.

        Of several, `canary` True begins the oldest alone and names it in the answer; its id as `canary` of the next call begins the
        others, if its task run has succeeded since. False begins all. Raises ApiError 409 `canary_open`, `canary_failed`.
        """
        body = {
            "letters": None if letters is None else list(letters),
            "workflow": workflow,
            "task": task,
            "fingerprint": fingerprint,
            "canary": canary,
        }
        return self._connection.post(RequeueAnswer, "dead-letters", "requeue", body=body, wait=0.0)

    def discard(
        self,
        reason: str,
        letters: Sequence[int] | None = None,
        *,
        workflow: str | None = None,
        task: str | None = None,
        fingerprint: str | None = None,
    ) -> DiscardAnswer:
        """Nothing more is done about them; they stay to be read."""
        body = {
            "letters": None if letters is None else list(letters),
            "workflow": workflow,
            "task": task,
            "fingerprint": fingerprint,
            "reason": reason,
        }
        return self._connection.post(DiscardAnswer, "dead-letters", "discard", body=body)

    def poison(
        self, *, open_only: bool = False, before: int | None = None, most: int | None = None
    ) -> Iterator[PoisonEntry]:
        """Messages that nobody could read, newest first. Takes an admin of the first project."""
        return self._connection.pages(
            PoisonEntry, "poison-letters", most=most, page=100, before=before, open_only=open_only
        )

    def discard_poison(self, reason: str, letters: Sequence[int]) -> DiscardAnswer:
        """Nothing more is done about these."""
        body = {"letters": list(letters), "reason": reason}
        return self._connection.post(DiscardAnswer, "poison-letters", "discard", body=body)
