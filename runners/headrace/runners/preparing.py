"""What an attempt needs before it can wait for a slot: its folder, secrets, and values too large to travel."""

from __future__ import annotations

import asyncio

from headrace.engine.ports.artifacts import Artifacts
from headrace.engine.ports.messages import Dispatch
from headrace.runners.app_dir import AppDir
from headrace.runners.attempt import Attempt, Outcome
from headrace.runners.filling import fill
from headrace.runners.secrets import Secrets


class Preparation:
    """Used on the worker's loop.

    Args:
        app_dir: where code lies; None: where jobs say.
        secrets: None: `HEADRACE_SECRET_*` of this process, taken out of its environment by `open`.
        artifacts: None: large values cannot be read.
        at_once: how many attempts are prepared side by side.
    """

    def __init__(
        self, app_dir: AppDir | None, secrets: Secrets | None, artifacts: Artifacts | None, at_once: int
    ) -> None:
        self._app_dir = app_dir
        self._secrets = secrets
        self._artifacts = artifacts
        self._turn = asyncio.Semaphore(at_once)

    async def open(self) -> None:
        if self._secrets is None:
            self._secrets = Secrets.usual()
        if self._app_dir is not None:
            await self._app_dir.look()

    def at_once(self, dispatch: Dispatch) -> Dispatch | None:
        """The dispatch as it is to be executed when nothing has to be fetched for it, else None."""
        if dispatch.holes:
            return None
        return dispatch if self._app_dir is None else self._app_dir.placed(dispatch)

    async def prepare(self, attempt: Attempt) -> Outcome | None:
        """Fetch what it needs; an Outcome when that cannot be had."""
        assert self._secrets is not None
        async with self._turn:
            if self._app_dir is not None:
                attempt.dispatch = await self._app_dir.place(attempt.dispatch)
            if not attempt.dispatch.holes:
                return None
            filled = await fill(attempt.dispatch, self._secrets, self._artifacts)
        if isinstance(filled, Outcome):
            return filled
        attempt.inputs, attempt.redactor = filled
        return None
