"""Dead letters on a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from headrace.api.client.aio.client import AsyncClient
from headrace.api.client.errors import ApiError
from headrace.cli.failure import Stop
from headrace.cli.refusals import no_letter, none_fits, not_taken
from headrace.cli.station import Requeued, Which

if TYPE_CHECKING:
    from headrace.api.shapes.operations import (
        DiscardAnswer,
        GroupEntry,
        LetterDetail,
        LetterEntry,
        PoisonEntry,
        RequeueAnswer,
    )

DECIDED_WITHIN = 10.0
"""Seconds that the server waits for its engines."""


class RemoteLetters:
    """Those of the client's project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(
        self, which: Which, *, state: str | None, before: int | None, limit: int
    ) -> Sequence[LetterEntry]:
        wanted = self._client.letters.list(**which._asdict(), state=state, before=before, most=limit)
        return [letter async for letter in wanted]

    async def poison(self, *, state: str | None, before: int | None, limit: int) -> Sequence[PoisonEntry]:
        found: list[PoisonEntry] = []
        async for letter in self._client.letters.poison(open_only=state == "open", before=before):
            if state in (None, letter.state):
                found.append(letter)
            if len(found) == limit:
                break
        return found

    async def groups(self, which: Which, *, state: str | None, limit: int) -> Sequence[GroupEntry]:
        return await self._client.letters.groups(
            workflow=which.workflow, task=which.task, state=state, most=limit
        )

    async def get(self, number: int) -> LetterDetail:
        try:
            return await self._client.letters.get(number)
        except ApiError as error:
            raise no_letter(number) if error.status == 404 else error from None

    async def discard(
        self, ids: Sequence[int], which: Which, reason: str, *, poison: bool = False
    ) -> DiscardAnswer:
        letters = self._client.letters
        try:
            if poison:
                return await letters.discard_poison(reason, ids)
            answer = await letters.discard(reason, ids or None, **which._asdict())
        except ApiError as error:
            _refuse(error)
        if not ids and not answer.discarded and not answer.left:
            raise none_fits()
        return answer

    async def requeue(self, ids: Sequence[int], which: Which, *, canary: bool) -> Requeued:
        letters = self._client.letters
        try:
            answer = await letters.requeue(ids or None, **which._asdict(), canary=canary)
            if answer.canary is None:
                if not answer.requeued and not answer.refused:
                    raise none_fits()
                return _told(await self._all(answer, ids, which))
            _decided(answer)
            first = await letters.get(answer.canary)
            if not answer.requeued:
                return _told(answer)._replace(canary=first, kept_back=answer.kept_back)
            ended = await self._client.runs.wait(first.run)
            state = (await self._client.tasks.get(ended.run, first.task)).state
            if state != "succeeded":
                return _told(answer)._replace(canary=first, tried=state, kept_back=answer.kept_back)
            left = [number for number in ids if number != first.id] or None
            others = await letters.requeue(left, **which._asdict(), canary=first.id)
            whole = _told(await self._all(others, left or (), which))
        except ApiError as error:
            _refuse(error)
        return Requeued(
            [first.id, *whole.begun], [*_told(answer).refused, *whole.refused], first, state, whole.kept_back
        )

    async def _all(self, answer: RequeueAnswer, ids: Sequence[int], which: Which) -> RequeueAnswer:
        """One request begins a hundred runs: ask until nothing is kept back."""
        whole = answer
        while answer.kept_back and answer.requeued:
            _decided(answer)
            done = {*whole.requeued, *(one.id for one in whole.refused)}
            left = [number for number in ids if number not in done] or None
            answer = await self._client.letters.requeue(left, **which._asdict(), canary=False)
            whole.requeued += answer.requeued
            whole.refused += answer.refused
            whole.kept_back = answer.kept_back
        _decided(answer)
        return whole


def _told(answer: RequeueAnswer) -> Requeued:
    return Requeued(list(answer.requeued), [(one.id, one.why) for one in answer.refused])


def _decided(answer: RequeueAnswer) -> None:
    """Raises Stop when engines have not."""
    if not answer.decided:
        raise not_taken(DECIDED_WITHIN)


def _refuse(error: ApiError) -> NoReturn:
    """Raises Stop for what is refused."""
    if error.status in (404, 409, 422):
        raise Stop(error.detail) from None
    raise error
