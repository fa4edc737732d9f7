"""Whether a key was used, found out without using it. On every adapter."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine.ports.acts import Once, Repeated
from tests.contracts.conftest import Database
from tests.contracts.samples import act, command


async def test_a_key_is_recalled_until_it_expires(database: Database) -> None:
    store: Any = await database.open()
    key = Once("default/user:ada/k", "d", 1000.0)
    await store.recall(key, 100.0)
    await store.recall(key, 100.0)
    await store.post(command(), act=act("run.cancel", "run 1", once=key))
    with pytest.raises(Repeated) as same:
        await store.recall(key, 999.9)
    assert (same.value.object, same.value.same) == ("run 1", True)
    with pytest.raises(Repeated) as other:
        await store.recall(key._replace(digest="e"), 999.9)
    assert other.value.same is False
    await store.recall(key._replace(key="default/user:bob/k"), 999.9)
    await store.recall(key, 1000.0)
    assert len(await store.inbox(0, 0, 10)) == 1
