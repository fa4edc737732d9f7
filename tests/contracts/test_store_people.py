"""Users, API tokens and settings of workflows, on every adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.api.office import ApiStore
from headrace.engine.ports.access import EVERY_PROJECT, Role, Token, User, UserChanged
from headrace.engine.ports.acts import Once, Repeated
from headrace.engine.ports.workflow_settings import WorkflowSettings
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, act


@pytest.fixture
async def store(database: Database) -> ApiStore:
    found: Any = await database.open()
    return found  # type: ignore[no-any-return]


ADA = User("ada", "$argon2id$…", {PROJECT: Role.ADMIN, EVERY_PROJECT: Role.VIEWER}, 100.0)
CI = Token("t-1", PROJECT, "ci", Role.OPERATOR, "ab12", "user:ada", 100.0, expires_at=500.0)
CREATE = act("token.create", "token ci")
REVOKE = act("token.revoke", "token ci")


class TestUsers:
    async def test_a_user_is_kept_as_given_and_changed_as_a_whole(self, store: ApiStore) -> None:
        await store.put_user(ADA, act("user.create", "user ada"))
        assert await store.user("ada") == ADA
        changed = User("ada", None, {}, 100.0, disabled_at=200.0, sessions_from=200.0)
        await store.put_user(changed, act("user.disable", "user ada"))
        bob = User("bob", None, {"other": Role.AUTHOR}, 150.0)
        await store.put_user(bob, act("user.create", "user bob"))
        assert await store.users() == [changed, bob]
        assert await store.user("Ada") is None
        assert [line.action for line in await store.audit(PROJECT)] == [
            "user.create",
            "user.disable",
            "user.create",
        ]

    async def test_users_of_a_project_come_a_page_at_a_time(self, store: ApiStore) -> None:
        odd = 'a", "mine": "b'
        roles: dict[str, dict[str, Role]] = {
            "ann": {"mine": Role.VIEWER},
            "bea": {"Mine": Role.ADMIN, "mine2": Role.ADMIN},
            "cy": {"a": Role.ADMIN, "mine": Role.AUTHOR, "z": Role.VIEWER},
            "dan": {EVERY_PROJECT: Role.VIEWER},
            "eve": {},
            "fay": {odd: Role.VIEWER},
        }
        for name, had in roles.items():
            await store.put_user(User(name, None, had, 100.0), act("user.create", f"user {name}"))
        assert [user.name for user in await store.users("mine")] == ["ann", "cy", "dan"]
        assert [user.name for user in await store.users(odd)] == ["dan", "fay"]
        assert [user.name for user in await store.users("mine", after="ann", limit=1)] == ["cy"]
        assert [user.name for user in await store.users(after="bea", limit=2)] == ["cy", "dan"]

    async def test_a_change_holds_for_the_user_it_was_made_of_alone(self, store: ApiStore) -> None:
        await store.put_user(ADA, act("user.create", "user ada"), new=True)
        with pytest.raises(UserChanged):
            await store.put_user(ADA._replace(password="x"), act("user.create", "user ada"), new=True)
        disabled = ADA._replace(disabled_at=200.0)
        await store.put_user(disabled, act("user.disable", "user ada"), ADA)
        late = ADA._replace(roles={PROJECT: Role.VIEWER})
        with pytest.raises(UserChanged):
            await store.put_user(late, act("user.set", "user ada"), ADA)
        assert await store.user("ada") == disabled
        assert len(await store.audit(PROJECT)) == 2


class TestTokens:
    async def test_a_token_is_found_by_its_hash_and_listed_by_its_project(self, store: ApiStore) -> None:
        await store.put_token(CI, CREATE)
        other = CI._replace(id="t-2", project="other", digest="cd34", created_at=101.0, expires_at=None)
        await store.put_token(other, CREATE)
        assert await store.token("ab12") == CI
        assert await store.token("AB12") is None
        assert await store.tokens(PROJECT) == [CI]
        assert await store.tokens("other") == [other]

    async def test_a_name_is_taken_while_its_token_lives(self, store: ApiStore) -> None:
        await store.put_token(CI, CREATE)
        again = CI._replace(id="t-2", digest="cd34", created_at=499.0)
        with pytest.raises(ValueError, match='live token named "ci"'):
            await store.put_token(again, CREATE)
        assert len(await store.audit(PROJECT)) == 1
        late = again._replace(created_at=500.0, expires_at=None)
        await store.put_token(late, CREATE)
        old = await store.token("ab12")
        assert old is not None
        assert old.revoked_at == 500.0
        assert await store.revoke_token(PROJECT, "t-2", 600.0, REVOKE)
        await store.put_token(CI._replace(id="t-3", digest="ef56", created_at=601.0), CREATE)
        assert [token.id for token in await store.tokens(PROJECT)] == ["t-3", "t-2", "t-1"]
        newest = (await store.tokens(PROJECT, limit=1))[0]
        rest = await store.tokens(PROJECT, before=(newest.created_at, newest.id), limit=2)
        assert [newest.id, *(token.id for token in rest)] == ["t-3", "t-2", "t-1"]
        assert [token.id for token in await store.tokens(PROJECT, id="t-2")] == ["t-2"]
        assert await store.tokens("other", id="t-2") == []

    async def test_two_of_one_name_at_once_are_one(self, database: Database) -> None:
        stores: list[Any] = [await database.open() for _ in range(2)]
        tokens = [CI._replace(id=f"t-{n}", digest=f"{n}") for n in range(10)]
        told = await asyncio.gather(
            *(stores[n % 2].put_token(token, CREATE) for n, token in enumerate(tokens)),
            return_exceptions=True,
        )
        assert [type(one) for one in told if one is not None] == [ValueError] * 9
        assert len(await stores[0].tokens(PROJECT)) == len(await stores[0].audit(PROJECT)) == 1

    async def test_a_token_is_revoked_once_and_by_its_own_project(self, store: ApiStore) -> None:
        await store.put_token(CI, CREATE)
        assert not await store.revoke_token("other", "t-1", 200.0, REVOKE)
        assert not await store.revoke_token(PROJECT, "t-9", 200.0, REVOKE)
        said = REVOKE._replace(once=Once("k", "d", 1000.0))
        assert await store.revoke_token(PROJECT, "t-1", 200.0, said)
        with pytest.raises(Repeated):
            await store.revoke_token(PROJECT, "t-1", 201.0, said)
        assert not await store.revoke_token(PROJECT, "t-1", 201.0, REVOKE)
        assert await store.tokens(PROJECT) == [CI._replace(revoked_at=200.0)]
        assert [line.action for line in await store.audit(PROJECT)] == ["token.revoke", "token.create"]


class TestSettings:
    async def test_what_is_given_changes_and_the_rest_stays(self, store: ApiStore) -> None:
        assert await store.workflow_settings(PROJECT) == {}
        first = await store.set_workflow(PROJECT, "etl", 100.0, paused=True, act=act("workflow.pause"))
        assert first == WorkflowSettings("etl", True, None, 100.0)
        both = await store.set_workflow(PROJECT, "etl", 101.0, priority="high", act=act("workflow.set"))
        assert both == WorkflowSettings("etl", True, "high", 101.0)
        await store.set_workflow("other", "etl", 102.0, paused=False)
        await store.set_workflow(PROJECT, "load", 103.0, paused=False)
        assert await store.workflow_settings(PROJECT, ["etl", "unknown"]) == {"etl": both}
        assert set(await store.workflow_settings(PROJECT)) == {"etl", "load"}
        back = await store.set_workflow(PROJECT, "etl", 104.0, paused=False, priority="")
        assert back == WorkflowSettings("etl", False, None, 104.0)

    async def test_changes_of_different_things_at_once_both_hold(self, database: Database) -> None:
        stores: list[Any] = [await database.open() for _ in range(2)]
        await asyncio.gather(
            *(stores[0].set_workflow(PROJECT, f"w{n}", 1.0, paused=True) for n in range(10)),
            *(stores[1].set_workflow(PROJECT, f"w{n}", 1.0, priority="low") for n in range(10)),
        )
        found = await stores[0].workflow_settings(PROJECT)
        assert {(one.paused, one.priority) for one in found.values()} == {(True, "low")}
        assert len(found) == 10
