"""Logins, API tokens, users and projects, over HTTP as a client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import pytest_asyncio
from argon2 import extract_parameters
from pwdlib.hashers.argon2 import Argon2Hasher

from headrace.api.access import passwords, staying
from headrace.api.access.directory import KEPT_SECONDS, Directory
from headrace.api.access.opening import open_gate
from headrace.api.access.passwords import Passwords, hash_now
from headrace.api.access.signing import LASTS_SECONDS, Signer
from headrace.api.access.tokens import digest_of
from headrace.api.access.verifying import verify
from headrace.api.client import AsyncClient
from headrace.api.paging import cursor_of
from headrace.api.problems import Problem
from headrace.cli.failure import Stop
from headrace.cli.people import RemotePeople
from headrace.engine.ports.access import Role, Token
from headrace.engine.ports.acts import Act
from tests.support.access import KEY, MINE, OLD_KEY, OTHER, PASSWORD, Secured, secured
from tests.support.waiting import PATIENCE


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    async with secured(tmp_path_factory.mktemp("access"), users=True) as made:
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def me(api: Secured, credentials: str | None, **more: Any) -> Any:
    answer = await api.ask("GET", "/me", credentials, **more)
    return answer.json() if answer.status_code == 200 else answer.status_code


async def audited(api: Secured, action: str, project: str = MINE) -> list[tuple[str, str]]:
    lines = await api.office.store.audit(project, action=action, limit=500)
    return [(line.actor, line.object) for line in lines]


class Raced(httpx2.AsyncBaseTransport):
    """Carries requests to the application; before each that changes something another admin makes bob an admin of `other`."""

    def __init__(self, api: Secured) -> None:
        self._api = api
        self._app = httpx2.ASGITransport(app=cast("Any", api.app), raise_app_exceptions=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            by = self._api.token(project=OTHER)
            await self._api.ask("PUT", "/users/bob/role", by, json={"role": "admin"})
        return await self._app.handle_async_request(request)


class TestLogins:
    async def test_a_login_is_a_user_in_the_project_that_is_named(self, shared: Secured) -> None:
        bob = await shared.logged_in("bob")
        mine = {"actor": "user:bob", "project": MINE, "role": "viewer", "everywhere": False}
        assert await me(shared, bob) == {**mine, "address": "203.0.113.7"}
        in_other = await me(shared, bob, headers={"X-Headrace-Project": OTHER})
        assert (in_other["project"], in_other["role"]) == (OTHER, "operator")
        asked = await shared.ask("GET", "/me?project=other", bob)
        assert asked.json()["role"] == "operator"
        assert await me(shared, bob, headers={"X-Headrace-Project": "nowhere"}) == 403
        twice = await shared.ask("GET", "/me?project=default", bob, headers={"X-Headrace-Project": OTHER})
        assert (twice.status_code, twice.json()["code"]) == (400, "project")

    async def test_an_admin_of_every_project_is_one_of_any(self, shared: Secured) -> None:
        root = await shared.logged_in("root")
        found = await me(shared, root, headers={"X-Headrace-Project": "brand-new"})
        assert (found["project"], found["role"], found["everywhere"]) == ("brand-new", "admin", True)

    async def test_who_is_unknown_is_told_the_same_as_who_is_wrong(self, shared: Secured) -> None:
        answers = [
            await shared.login("ada", "not the password"),
            await shared.login("nobody-of-that-name", "not the password"),
        ]
        assert [answer.status_code for answer in answers] == [401, 401]
        first, second = (answer.json() for answer in answers)
        assert first == second
        assert first["code"] == "wrong_password"
        assert ("nobody", "user nobody-of-that-name") in await audited(shared, "login.refused")

    async def test_a_user_who_is_not_there_costs_what_one_who_is_costs(self) -> None:
        made, nobody = hash_now(PASSWORD), passwords._NOBODY
        assert extract_parameters(nobody) == extract_parameters(made)
        assert not Argon2Hasher().verify(PASSWORD, nobody)

    async def test_of_many_logins_at_once_some_are_told_to_come_back(self) -> None:
        desk = Passwords()
        tries = passwords.AT_ONCE + passwords.WAITING + 3
        told = await asyncio.gather(*(desk.verify("x", None) for _ in range(tries)), return_exceptions=True)
        busy = [one for one in told if isinstance(one, Problem)]
        assert [(one.status, "Retry-After" in one.headers) for one in busy] == [(503, True)] * 3
        assert told.count(False) == tries - 3
        assert not await desk.verify("x", None)

    async def test_tries_and_logins_are_in_the_audit_without_the_password(self, shared: Secured) -> None:
        await shared.logged_in("ada")
        assert ("user:ada", "user ada") in await audited(shared, "login")
        lines = await shared.office.store.audit(MINE, limit=500)
        assert not any(PASSWORD.encode() in line.detail for line in lines)
        assert {line.address for line in lines if line.action == "login"} == {"203.0.113.7"}

    async def test_a_login_ends_by_itself(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            login = await api.logged_in("ada")
            api.clock.ahead = LASTS_SECONDS - 10
            assert (await me(api, login))["actor"] == "user:ada"
            api.clock.ahead = LASTS_SECONDS + 1
            assert await me(api, login) == 401

    async def test_a_key_is_replaced_without_ending_logins(self, shared: Secured) -> None:
        now = shared.office.now()
        old, _ = Signer([OLD_KEY]).sign("ada", now, 0.0)
        assert (await me(shared, old))["actor"] == "user:ada"
        foreign, _ = Signer(["another key entirely, of 32 bytes+"]).sign("ada", now, 0.0)
        assert await me(shared, foreign) == 401
        assert Signer([KEY]).read(await shared.logged_in("ada"), shared.office.now()) is not None

    async def test_ending_every_login_ends_this_one_and_no_later_one(self, shared: Secured) -> None:
        first, second = [await shared.logged_in("ada") for _ in range(2)]
        assert (await shared.ask("POST", "/auth/logout-all", first)).status_code == 204
        assert [await me(shared, login) for login in (first, second)] == [401, 401]
        assert (await me(shared, await shared.logged_in("ada")))["role"] == "admin"
        assert (await shared.ask("POST", "/auth/logout-all", shared.token())).status_code == 409

    async def test_a_password_is_changed_by_who_knows_it(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            bob = await api.logged_in("bob")
            body = {"old": "wrong", "new": "a much longer one"}
            assert (await api.ask("POST", "/auth/password", bob, json=body)).status_code == 403
            weak = await api.ask("POST", "/auth/password", bob, json={"old": PASSWORD, "new": "bobbobbobbob"})
            assert (weak.status_code, weak.json()["problems"][0]["field"]) == (422, "new")
            body["old"] = PASSWORD
            assert (await api.ask("POST", "/auth/password", bob, json=body)).status_code == 204
            assert await me(api, bob) == 401
            assert (await api.login("bob")).status_code == 401
            assert (await api.login("bob", body["new"])).status_code == 200

    async def test_a_login_ends_whatever_the_clock_of_who_ends_it_says(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            bob = await api.logged_in("bob")
            before = await api.office.store.user("bob")
            assert before is not None
            late = before._replace(sessions_from=before.created_at - 3600.0)
            act = Act(MINE, late.sessions_from, "local:x", None, "user.set", "user bob")
            await api.office.store.put_user(late, act, before)
            assert await me(api, bob) == 401
            assert (await me(api, await api.logged_in("bob")))["role"] == "viewer"

    @pytest.mark.parametrize("whose", ["token", "login"])
    async def test_a_stream_ends_with_the_right_to_it(
        self, tmp_path: Path, whose: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(staying, "EVERY_SECONDS", 0.02)
        async with secured(tmp_path, users=True) as api:
            bob = api.token(Role.VIEWER) if whose == "token" else await api.logged_in("bob")
            stays = asyncio.create_task(api.ask("GET", "/events", api.token(Role.OPERATOR)))
            ends = asyncio.create_task(api.ask("GET", "/events", bob))
            async with asyncio.timeout(PATIENCE):
                while api.office.live.streams < 2:
                    await me(api, api.token())  # both need some turns of the loop
                if whose == "token":
                    tokens = await api.office.store.tokens(MINE)
                    id = next(token.id for token in tokens if token.name == "viewer")
                    revoked = await api.ask("DELETE", f"/tokens/{id}", api.token())
                    assert revoked.status_code == 204
                else:
                    ada = await api.logged_in("ada")
                    await api.ask("PUT", "/users/bob/role", ada, json={"role": None})
                assert (await ends).status_code == 200
            assert not stays.done()
            api.app.state["ending"].begin()
            assert "ready" in (await stays).text


class TestTokens:
    async def test_a_token_is_shown_once_used_and_revoked(self, shared: Secured) -> None:
        body = {"name": "ci", "role": "operator"}
        made = await shared.ask("POST", "/tokens", shared.token(), json=body)
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        text, id = made.json()["token"], made.json()["id"]
        assert (await me(shared, text))["actor"] == "token:ci"
        taken = await shared.ask("POST", "/tokens", shared.token(), json=body)
        assert (taken.status_code, taken.json()["code"]) == (409, "token_exists")
        listed = (await shared.ask("GET", "/tokens", shared.token())).json()["items"]
        assert [entry["id"] for entry in listed if entry["name"] == "ci"] == [id]
        assert text not in str(listed)
        assert (await shared.ask("DELETE", f"/tokens/{id}", shared.token(project=OTHER))).status_code == 404
        assert (await shared.ask("DELETE", f"/tokens/{id}", shared.token())).status_code == 204
        assert await me(shared, text) == 401
        assert (await shared.ask("DELETE", f"/tokens/{id}", shared.token())).status_code == 404

    async def test_the_same_request_again_shows_no_token(self, shared: Secured) -> None:
        said: dict[str, Any] = {
            "headers": {"Idempotency-Key": "t1"},
            "json": {"name": "once", "role": "viewer"},
        }
        first = await shared.ask("POST", "/tokens", shared.token(), **said)
        again = await shared.ask("POST", "/tokens", shared.token(), **said)
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.json()["id"], again.json()["token"]) == (first.json()["id"], None)
        other = {**said, "json": {"name": "twice", "role": "viewer"}}
        assert (await shared.ask("POST", "/tokens", shared.token(), **other)).status_code == 422

    async def test_a_token_ends_when_it_was_to(self, tmp_path: Path) -> None:
        async with secured(tmp_path) as api:
            body = {"name": "short", "role": "viewer", "lasts_seconds": 60}
            made = (await api.ask("POST", "/tokens", api.token(), json=body)).json()["token"]
            assert (await me(api, made))["role"] == "viewer"
            api.clock.ahead = 61.0
            assert await me(api, made) == 401

    async def test_tokens_and_users_come_a_page_at_a_time(self, shared: Secured) -> None:
        root = await shared.logged_in("root")
        for path, name in (("/tokens", "id"), ("/users", "name")):
            whole = (await shared.ask("GET", f"{path}?limit=500", root)).json()["items"]
            first = (await shared.ask("GET", f"{path}?limit=2", root)).json()
            rest = (await shared.ask("GET", f"{path}?cursor={first['next']}&limit=500", root)).json()
            assert [one[name] for one in (*first["items"], *rest["items"])] == [one[name] for one in whole]
        for place in ([1.5, "\0"], [1.5, "a", 2], [[], "a"]):
            answer = await shared.ask("GET", f"/tokens?cursor={cursor_of(place)}", root)
            assert (answer.status_code, answer.json()["code"]) == (400, "cursor")

    async def test_a_token_is_for_its_project_alone(self, shared: Secured) -> None:
        token = shared.token(Role.VIEWER)
        assert (await me(shared, token, headers={"X-Headrace-Project": MINE}))["project"] == MINE
        answer = await shared.ask("GET", "/me", token, headers={"X-Headrace-Project": OTHER})
        assert answer.status_code == 403

    async def test_what_another_process_revoked_ends_within_seconds(self, tmp_path: Path) -> None:
        async with secured(tmp_path) as api:
            found = await api.office.store.tokens(MINE)
            viewer = next(token for token in found if token.name == "viewer")
            text = api.token(Role.VIEWER)
            assert (await me(api, text))["role"] == "viewer"
            line = (await api.office.store.audit(MINE))[0]
            act = Act(MINE, line.at, "local:x", None, "token.revoke", f"token {viewer.id}")
            assert await api.office.store.revoke_token(MINE, viewer.id, line.at, act)
            gate: Any = api.app.middleware[-1]
            kept = gate._doors.directory._tokens._found
            assert all(
                until <= asyncio.get_running_loop().time() + KEPT_SECONDS for until, _ in kept.values()
            )
            gate._doors.directory.forget()
            assert await me(api, text) == 401

    async def test_many_at_once_with_one_token_are_one_question(self, shared: Secured) -> None:
        store, asked = shared.office.store, 0
        gate = asyncio.Event()

        class Counted:
            async def token(self, digest: str) -> Token | None:
                nonlocal asked
                asked += 1
                found = await store.token(digest)
                await gate.wait()
                return found

        directory = Directory(cast("Any", Counted()))
        digest = digest_of(shared.token())
        early = [asyncio.create_task(directory.token(digest)) for _ in range(50)]
        await asyncio.sleep(0)
        directory.forget()  # what is on its way may be from before
        late = [asyncio.create_task(directory.token(digest)) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        found = {token.name for token in await asyncio.gather(*early, *late) if token is not None}
        assert (found, asked) == ({"admin"}, 2)
        assert directory.knows(digest=digest)


class TestUsers:
    async def test_an_admin_everywhere_makes_users_who_log_in(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            root = await api.logged_in("root")
            body = {"name": "cy", "password": "quite long enough", "roles": {MINE: "author"}}
            made = await api.ask("POST", "/users", root, json=body)
            assert (made.status_code, made.json()["role"]) == (201, "author")
            assert "password" not in made.text
            assert (await api.ask("POST", "/users", root, json=body)).status_code == 409
            cy = (await api.login("cy", "quite long enough")).json()["token"]
            assert (await me(api, cy))["role"] == "author"
            change = await api.ask("PATCH", "/users/cy", root, json={"disabled": True})
            assert change.json()["disabled_at"] is not None
            assert await me(api, cy) == 401
            assert (await api.login("cy", "quite long enough")).status_code == 401
            await api.ask("PATCH", "/users/cy", root, json={"disabled": False})
            assert await me(api, cy) == 401  # what ended has ended
            for roles in ({"*": "admin"}, {}):
                await api.ask("PATCH", "/users/cy", root, json={"roles": roles})
            assert ("user:root", "user cy") in await audited(api, "user.set")

    async def test_the_same_request_about_a_user_again_is_done_once(self, shared: Secured) -> None:
        root = await shared.logged_in("root")

        async def ask(method: str, path: str, key: str, **body: Any) -> tuple[int, bool]:
            answer = await shared.ask(method, path, root, json=body, headers={"Idempotency-Key": key})
            return answer.status_code, answer.headers.get("idempotency-replayed") == "true"

        hal = {"name": "hal", "password": "quite long enough", "roles": {OTHER: "viewer"}}
        assert await ask("POST", "/users", "hal-1", **hal) == (201, False)
        assert await ask("POST", "/users", "hal-1", **hal) == (201, True)
        assert await ask("POST", "/users", "hal-1", **{**hal, "password": "another long one"}) == (422, False)
        assert await ask("POST", "/users", "hal-1", **{**hal, "roles": {}}) == (422, False)
        assert await ask("POST", "/users", "hal-2", **hal) == (409, False)
        for replayed in (False, True):
            answer = await ask("PATCH", "/users/hal", "hal-3", password="a new long password", disabled=True)
            assert answer == (200, replayed)
        assert await ask("PATCH", "/users/hal", "hal-3", password="quite long enough") == (422, False)
        assert len([line for line in await audited(shared, "user") if line[1] == "user hal"]) == 2

    async def test_an_admin_of_one_project_says_what_users_may_do_in_it(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            ada = await api.logged_in("ada")
            bob = await api.logged_in("bob")
            assert (await me(api, bob))["role"] == "viewer"
            raised = await api.ask("PUT", "/users/bob/role", ada, json={"role": "author"})
            assert (raised.status_code, raised.json()["role"], raised.json()["roles"]) == (
                200,
                "author",
                None,
            )
            assert (await me(api, bob))["role"] == "author"
            assert (await me(api, bob, headers={"X-Headrace-Project": OTHER}))["role"] == "operator"
            assert (await api.ask("PUT", "/users/bob/role", ada, json={"role": None})).status_code == 200
            assert await me(api, bob) == 403

    async def test_a_role_that_is_set_leaves_what_others_set_at_the_same_moment(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            root = await api.logged_in("root")
            names = [f"p{place}" for place in range(12)]
            said = [(project, {"role": "operator"}) for project in names]
            said.append((MINE, {"role": "author", "everywhere": True}))
            answers = await asyncio.gather(
                *(
                    api.ask(
                        "PUT", "/users/bob/role", root, json=body, headers={"X-Headrace-Project": project}
                    )
                    for project, body in said
                )
            )
            assert [answer.status_code for answer in answers] == [200] * len(said)
            bob = await api.office.store.user("bob")
            assert bob is not None
            kept = {MINE: Role.VIEWER, OTHER: Role.OPERATOR, "*": Role.AUTHOR}
            assert bob.roles == kept | dict.fromkeys(names, Role.OPERATOR)
            lines = await api.office.store.audit(MINE, object="user bob", limit=1)
            assert lines[0].detail == b'{"role":"author","everywhere":true}'

    async def test_the_command_sets_a_role_everywhere_and_nothing_else(self, tmp_path: Path) -> None:
        async with secured(tmp_path, users=True) as api:
            raced = Raced(api)
            root = await api.logged_in("root")
            async with AsyncClient("http://localhost", root, transport=raced) as client:
                people = RemotePeople(client)
                await people.set_role("bob", "*", "viewer")
                bob = await api.office.store.user("bob")
                assert bob is not None
                assert (bob.roles["*"], bob.roles[OTHER]) == (Role.VIEWER, Role.ADMIN)
                await people.set_role("bob", "*", None)
                bob = await api.office.store.user("bob")
                assert bob is not None
                assert "*" not in bob.roles
                with pytest.raises(Stop, match="there is no user nobody"):
                    await people.set_role("nobody", "*", "viewer")

    async def test_an_admin_of_one_project_gets_no_further(self, shared: Secured) -> None:
        for credentials in (await shared.logged_in("ada"), shared.token()):
            tries = [
                ("POST", "/users", {"name": "x", "password": "quite long enough", "roles": {"*": "admin"}}),
                ("PATCH", "/users/bob", {"password": "quite long enough"}),
                ("PATCH", "/users/bob", {"roles": {OTHER: "admin"}}),
                ("PUT", "/users/root/role", {"role": "viewer"}),
                ("PUT", "/users/bob/role", {"role": "viewer", "everywhere": True}),
            ]
            answers = [await shared.ask(method, path, credentials, json=body) for method, path, body in tries]
            assert [answer.status_code for answer in answers] == [403] * len(tries)
            listed = (await shared.ask("GET", "/users", credentials)).json()["items"]
            assert {user["name"] for user in listed} == {"ada", "bob", "root"}
            assert {user["roles"] for user in listed} == {None}

    async def test_nobody_takes_their_own_access_away(self, shared: Secured) -> None:
        root = await shared.logged_in("root")
        tries = [("PATCH", "/users/root", {"disabled": True}), ("PATCH", "/users/root", {"roles": {}})]
        tries.append(("PUT", "/users/root/role", {"role": "viewer"}))
        tries.append(("PUT", "/users/root/role", {"role": "admin", "everywhere": True}))
        for method, path, body in tries:
            answer = await shared.ask(method, path, root, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "own_access")

    async def test_two_changes_of_one_user_at_once_are_not_lost_in_each_other(self, shared: Secured) -> None:
        root = await shared.logged_in("root")
        changes = [{"disabled": True}, {"roles": {MINE: "viewer"}}, {"roles": {OTHER: "viewer"}}]
        answers = await asyncio.gather(
            *(shared.ask("PATCH", "/users/eve", root, json=body) for body in changes)
        )
        done = [body for body, answer in zip(changes, answers, strict=True) if answer.status_code == 200]
        assert {answer.status_code for answer in answers} <= {200, 409}
        eve = await shared.office.store.user("eve")
        assert eve is not None
        assert (eve.disabled_at is not None) == ({"disabled": True} in done)


class TestAudit:
    async def test_who_did_what_is_listed_and_holds(self, tmp_path: Path) -> None:
        async with secured(tmp_path) as api:
            await api.ask("POST", "/tokens", api.token(), json={"name": "ci", "role": "viewer"})
            lines = (await api.ask("GET", "/audit?action=token&limit=2", api.token())).json()
            assert [line["actor"] for line in lines["items"]] == ["token:admin", "local:test"]
            assert lines["items"][0]["detail"]["name"] == "ci"
            more = await api.ask("GET", f"/audit?cursor={lines['next']}", api.token())
            ids = [line["id"] for page in (lines, more.json()) for line in page["items"]]
            assert ids == sorted(set(ids), reverse=True)
            other = (await api.ask("GET", "/audit", api.token(project=OTHER))).json()["items"]
            assert {line["actor"] for line in other} == {"local:test"}
            await api.office.store.chain()
            verdict = (await api.ask("GET", "/audit/verify", api.token())).json()
            assert (verdict["holds"], verdict["lines"], verdict["problem"]) == (True, 5, None)
            assert (await verify(api.office.store, MINE)).hash == verdict["hash"]

    async def test_it_is_chained_by_every_process_and_whole_when_the_last_ends(self, tmp_path: Path) -> None:
        async with secured(tmp_path) as api:
            store = api.office.store
            async with (
                open_gate(api.office, host="::", keys=[KEY]),
                open_gate(api.office, host="::", keys=[KEY]),
            ):
                body = {"role": "viewer"}
                await asyncio.gather(
                    *(
                        api.ask("POST", "/tokens", api.token(), json={**body, "name": f"t{n}"})
                        for n in range(20)
                    )
                )
            for project, lines in ((MINE, 24), (OTHER, 4)):
                verdict = await verify(store, project)
                assert (verdict.lines, verdict.problem) == (lines, None)
