"""What a closed store leaves behind: no connection, whatever was going on with it."""

from __future__ import annotations

import asyncio
import gc
import random
import uuid
import warnings
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import asyncpg
import pytest

from headrace.engine.ports.store import StoreUnavailable
from headrace.engine.store.postgres import PostgresStore
from tests.support.postgres import TEMPLATE, Postgres
from tests.support.waiting import comes_true

ROUNDS = 20


@pytest.fixture
async def url(postgres: Postgres) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    yield await postgres.create(name, TEMPLATE)
    await postgres.drop(name)


async def nobody_else(observer: asyncpg.Connection) -> bool:
    """Whether this is the only connection."""
    return bool(
        await observer.fetchval(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )


async def some_ended(calls: Sequence[asyncio.Task[Any]], number: int) -> None:
    """Until so many of the calls have ended."""
    while number > sum(call.done() for call in calls):
        await asyncio.wait([call for call in calls if not call.done()], return_when=asyncio.FIRST_COMPLETED)


@pytest.mark.parametrize("abandoned", [False, True])
async def test_calls_cancelled_at_any_moment_leave_no_connection(url: str, abandoned: bool) -> None:
    """Or not cancelled at all, but still under way when the store is closed."""
    draw = random.Random(7)
    observer = await asyncpg.connect(url)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(ROUNDS):
            store = await PostgresStore.open(url)
            calls = [
                asyncio.create_task(call())
                for _ in range(4)
                for call in (
                    store.parts,
                    store.survey,
                    lambda store=store: store.run(1),
                    lambda store=store: store.expire(0.0),
                )
            ]
            await some_ended(calls, draw.randrange(len(calls)))
            for _ in range(draw.randrange(5)):
                await asyncio.sleep(0)  # and somewhere in the middle of what the others do
            if not abandoned:
                for call in calls:
                    call.cancel()
            await store.close()
            done = await asyncio.gather(*calls, return_exceptions=True)
            unexpected = [
                each
                for each in done
                if isinstance(each, BaseException)
                and not isinstance(each, asyncio.CancelledError | StoreUnavailable)
            ]
            assert unexpected == []
            del store, calls, done
            gc.collect()
    assert [str(each.message) for each in told if each.category is ResourceWarning] == []
    await comes_true(partial(nobody_else, observer), "the server has not ended what was cut off", within=10.0)
    await observer.close()
