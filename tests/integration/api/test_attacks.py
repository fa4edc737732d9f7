"""Attacks that systems of this kind have seen, each tried: forged logins, guessing, spoofed addresses, pages of other sites,
bodies that say too much, secrets that look for a way out."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headrace.api.access.addresses import client_address, networks
from headrace.api.access.opening import Unsafe, check
from headrace.api.access.rates import Rates
from headrace.api.access.redacting import CleanLines, Redaction, redactor
from headrace.api.access.signing import ALGORITHM, AUDIENCE, ISSUER, Signer
from headrace.api.problems import Problem
from headrace.engine.cache.memory import MemoryCache
from headrace.engine.ports.access import Role
from tests.support.access import KEY, MINE, OTHER, Secured, secured

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    async with secured(tmp_path_factory.mktemp("attacks"), users=True) as made:
        yield made


# forged logins -----------------------------------------------------------------------------------------------------
def claims(now: float, **more: Any) -> dict[str, Any]:
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "root", "iat": now, "nbf": now, "exp": now + 600}
    usual["since"] = 0.0
    return {name: value for name, value in {**usual, **more}.items() if value is not ...}


def kid(signer: Signer) -> str:
    text, _ = signer.sign("root", 0.0, 0.0)
    found: str = jwt.get_unverified_header(text)["kid"]
    return found


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forged(now: float) -> dict[str, str]:
    signer = Signer([KEY])
    name = kid(signer)

    def signed(key: Any = KEY, algorithm: str = ALGORITHM, head: Any = None, **more: Any) -> str:
        return jwt.encode(claims(now, **more), key, algorithm, headers={"kid": name, **(head or {})})

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = signed()
    head, body, signature = good.split(".")
    unsigned = f"{part({'alg': 'none', 'typ': 'JWT', 'kid': name})}.{part(claims(now))}."
    return {
        "no algorithm": unsigned,
        "no algorithm, in capitals": f"{part({'alg': 'NONE', 'kid': name})}.{body}.",
        "no algorithm, with a signature": unsigned + signature,
        "no signature": f"{head}.{body}.",
        "another body": f"{head}.{part(claims(now, sub='ada'))}.{signature}",
        "another head": f"{part({'alg': ALGORITHM})}.{body}.{signature}",
        "a signature cut short": good[:-4],
        "another key": signed("x" * 40),
        "no key": signed(b"\0" * 32),
        "its own public key": signed(private, "RS256", {"jwk": {"kty": "RSA"}}),
        "a public key as a secret": f"{part({'alg': ALGORITHM, 'kid': name})}.{body}."
        + part(public.decode())[:43],
        "another length of hash": signed(algorithm="HS512"),
        "an unknown key id": signed(head={"kid": "0" * 16}),
        "no key id": jwt.encode(claims(now), KEY, ALGORITHM),
        "a key id that is a path": signed(head={"kid": "../../../../dev/null"}),
        "a key id that is SQL": signed(head={"kid": "x' UNION SELECT 'key' --"}),
        "a key id that is an address": signed(
            head={"kid": "https://evil.example/key", "jku": "https://evil.example"}
        ),
        "a head with demands": signed(head={"crit": ["exp"]}),
        "expired": signed(exp=now - 1),
        "not yet": signed(nbf=now + 600),
        "from the future": signed(iat=now + 600, exp=now + 1200),
        "from before every login ended": signed(since=now),
        "from no moment": signed(since="0"),
        "for ever": signed(exp=now + 10**9),
        "an endless number": signed(exp=float("inf")),
        "no number": f"{head}.{part(claims(now, exp='tomorrow'))}.{signature}",
        "another issuer": signed(iss="someone"),
        "another audience": signed(aud="another-api"),
        "several audiences": signed(aud=[AUDIENCE, "another-api"]),
        **{
            f"without {claim}": signed(**{claim: ...})
            for claim in ("iss", "aud", "sub", "iat", "nbf", "exp", "since")
        },
        "nobody": signed(sub="nobody-of-that-name"),
        "a name that is none": signed(sub=""),
        "megabytes": signed(sub="x" * 5000),
        "no parts": "x",
        "dots": "...",
        "nested": f"{part([])}.{part([])}.{part([])}",
        "not ASCII": "é.é.é",
    }


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_no_forged_login_is_believed(shared: Secured) -> None:
    now = shared.office.now()
    true = jwt.encode(claims(now), KEY, ALGORITHM, headers={"kid": kid(Signer([KEY]))})
    assert (await shared.ask("GET", "/me", true)).json()["actor"] == "user:root"
    for what, token in forged(now).items():
        headers = {"Authorization": f"Bearer {token}".encode("latin-1")}
        answer = await shared.client.get("/api/v1/me", headers=headers)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), what
        assert len(token) < 20 or token[:20] not in answer.text, what


async def test_nothing_but_one_bearer_is_taken(shared: Secured) -> None:
    token = shared.token()
    id, _, secret = token.removeprefix("hr_").partition("_")
    nearly = secret[:-1] + ("1" if secret.endswith("0") else "0")
    tries: list[list[tuple[str, str]]] = [
        [("Authorization", f"Basic {base64.b64encode(b'ada:x').decode()}")],
        [("Authorization", token)],
        [("Authorization", "Bearer")],
        [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")],
        [("Authorization", f"Bearer {token},Bearer x")],
        [("Authorization", f"Bearer hr_{id}_{nearly}")],
        [("Authorization", f"Bearer hr_{id}_")],
        [("Authorization", f"Bearer hr_{'0' * 16}_{secret}")],
        [("Authorization", f"Bearer {token.upper()}")],
        [("Cookie", f"token={token}; Authorization=Bearer {token}")],
        [("X-Api-Key", token)],
        [("X-Forwarded-User", "root"), ("Remote-User", "root"), ("X-Role", "admin")],
    ]
    for headers in tries:
        answer = await shared.client.get("/api/v1/me", headers=headers)
        assert answer.status_code == 401, headers
    for query in (f"?token={token}", f"?access_token={token}", "?role=admin"):
        assert (await shared.client.get(f"/api/v1/me{query}")).status_code == 401


# guessing, and who counts it ---------------------------------------------------------------------------------------
async def test_guessing_a_password_comes_to_an_end(tmp_path: Path) -> None:
    async with secured(tmp_path, users=True) as api:
        spoofed = [
            await api.login("ada", f"guess {n}", headers={"X-Forwarded-For": f"10.0.0.{n}"})
            for n in range(12)
        ]
        assert [answer.status_code for answer in spoofed] == [401] * 10 + [429] * 2
        assert int(spoofed[-1].headers["retry-after"]) >= 1
        assert spoofed[-1].json()["code"] == "too_many_requests"
        right = await api.login("ada")
        assert right.status_code == 429  # the right one is not told from there either
        assert (await api.login("bob")).status_code == 200
        assert len(await api.office.store.audit(MINE, action="login.refused", limit=500)) == 10


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        ((), ["1.1.1.1, 198.51.100.7", "10.1.0.8"], "10.1.0.9"),
        (("10.1.0.0/16",), ["1.1.1.1, 198.51.100.7", "10.1.0.8"], "198.51.100.7"),
        (("10.1.0.9",), ["1.1.1.1, 198.51.100.7", "10.1.0.8"], "10.1.0.8"),
        (("10.0.0.0/8",), ["1.1.1.1, \x1b[31mx"], "10.1.0.9"),
        (("10.0.0.0/8",), ["1.1.1.1, ::ffff:10.0.0.1"], "1.1.1.1"),
        (("10.0.0.0/8",), [", ".join(["10.0.0.1"] * 1000)], "10.0.0.1"),
        (("0.0.0.0/0",), ["", ","], "10.1.0.9"),
    ],
)
async def test_an_address_is_what_our_own_proxies_say(
    proxies: tuple[str, ...], forwarded: list[str], address: str
) -> None:
    assert client_address("10.1.0.9", forwarded, networks(proxies)) == address


async def test_the_audit_has_the_address_that_our_proxy_saw(tmp_path: Path) -> None:
    async with secured(tmp_path, peer="10.1.0.9", proxies=("10.1.0.9",)) as api:
        headers = {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}
        await api.ask("POST", "/tokens", api.token(), json={"name": "x", "role": "viewer"}, headers=headers)
        newest = (await api.office.store.audit(MINE, limit=1))[0]
        assert (newest.actor, newest.address) == ("token:admin", "198.51.100.7")


async def test_who_asks_too_much_waits_whatever_address_they_claim(tmp_path: Path) -> None:
    async with secured(tmp_path, address_rate=1.0, asker_rate=2.0) as api:
        strangers = [
            await api.ask(
                "GET", "/me", headers={"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"}
            )
            for n in range(8)
        ]
        statuses = [answer.status_code for answer in strangers]
        assert statuses.count(429) >= 1
        assert statuses[:5] == [401] * 5
        guessed = await api.ask("GET", "/me", f"hr_{'0' * 16}_{'0' * 64}")
        assert guessed.status_code == 429
        first = await api.ask("GET", "/me", api.token(Role.VIEWER, "other"))
        assert first.status_code == 429  # a token nobody has seen yet is a guess as well

    (tmp_path / "2").mkdir()
    async with secured(tmp_path / "2", asker_rate=2.0) as api:
        answers = [await api.ask("GET", "/me", api.token()) for _ in range(14)]
        assert [answer.status_code for answer in answers[:10]] == [200] * 10
        assert answers[-1].status_code == 429
        assert (await api.ask("GET", "/me", api.token(Role.VIEWER))).status_code == 200


async def test_neither_projects_nor_what_no_longer_holds_make_room_for_more(tmp_path: Path) -> None:
    async with secured(tmp_path, users=True, asker_rate=2.0) as api:
        root = await api.logged_in("root")
        named = [
            await api.ask("GET", "/me", root, headers={"X-Headrace-Project": f"p{n}"}) for n in range(14)
        ]
        assert named[-1].status_code == 429
        elsewhere = [
            await api.ask("GET", "/me", api.token(), headers={"X-Headrace-Project": OTHER}) for _ in range(14)
        ]
        assert [elsewhere[0].status_code, elsewhere[-1].status_code] == [403, 429]

    (tmp_path / "2").mkdir()
    async with secured(tmp_path / "2", address_rate=1.0) as api:
        assert (await api.ask("GET", "/me", api.token())).status_code == 200
        api.clock.ahead = 3601.0  # the token has ended, and was seen valid a moment ago
        ended = [await api.ask("GET", "/me", api.token()) for _ in range(8)]
        assert [ended[0].status_code, ended[-1].status_code] == [401, 429]


async def test_tokens_taken_together_are_no_more_than_taken_one_by_one() -> None:
    now = [0.0]
    rates = Rates(MemoryCache(lambda: now[0]), asker=64.0, clock=lambda: now[0])

    async def granted() -> int:
        count = 0
        while True:
            try:
                await rates.of_asker("user:ada")
            except Problem:
                return count
            count += 1

    assert await granted() == 320  # five seconds' worth, after a silence
    assert await granted() == 0
    now[0] += 0.125
    assert await granted() == 8
    now[0] += 3.0
    assert await granted() == 192
    await rates.of_asker("user:bob")


# without authentication --------------------------------------------------------------------------------------------
async def test_without_authentication_only_this_machine_is_answered(tmp_path: Path) -> None:
    async with secured(tmp_path, peer="127.0.0.1", host="127.0.0.1", keys=(), authenticate=False) as api:

        async def status(**headers: str) -> int:
            sent = {"Host": "127.0.0.1:8080"} | {
                name.replace("_", "-"): value for name, value in headers.items()
            }
            return (await api.client.get("/api/v1/me", headers=sent)).status_code

        assert await status() == 200
        for host in ("localhost:8080", "[::1]:8080", "127.0.0.1", "LOCALHOST"):
            assert await status(Host=host) == 200, host
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example:127",
            "0.0.0.0:8080",
            "10.0.0.1:8080",
            "2130706433",
            "127.0.0.1@evil.example",
        ):
            assert await status(Host=host) in (400, 403), host
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1:9999",
            "http://localhost:8080",
            "file://",
            "http://[",
        ):
            assert await status(Origin=origin) == 403, origin
        assert await status(Origin="http://127.0.0.1:8080") == 200
        for site in ("cross-site", "same-site"):
            assert await status(Sec_Fetch_Site=site) == 403
        for proxied in ("X_Forwarded_For", "Forwarded", "X_Forwarded_Host"):
            assert await status(**{proxied: "127.0.0.1"}) == 403
        login = await api.client.post("/api/v1/auth/login", json={"user": "ada", "password": "x"})
        assert login.status_code == 404


async def test_nobody_from_elsewhere_gets_in_without_authentication(tmp_path: Path) -> None:
    async with secured(tmp_path, peer="10.0.0.5", host="127.0.0.1", keys=(), authenticate=False) as api:
        answer = await api.client.get("/api/v1/me", headers={"Host": "127.0.0.1"})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "*", "10.0.0.1", "example.com", "127.0.0.1.nip.io"])
async def test_without_authentication_nothing_listens_elsewhere(host: str) -> None:
    with pytest.raises(Unsafe, match="this machine alone"):
        check(host, [KEY], authenticate=False)
    for ours in ("127.0.0.1", "::1", "localhost"):
        check(ours, [], authenticate=False)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "change-me-change-me-change-me-change-me",
        "0" * 64,
        "secretsecretsecretsecretsecretsecret",
        "abcabc" * 10,
    ],
)
async def test_a_key_that_others_can_guess_is_refused(key: str) -> None:
    with pytest.raises(Unsafe) as told:
        check("0.0.0.0", [key] if key else [], authenticate=True)
    assert "HEADRACE_SECRET" in str(told.value)
    assert not key or key not in str(told.value)
    with pytest.raises(Unsafe, match="PREVIOUS"):
        check("0.0.0.0", [KEY, key or "x"], authenticate=True)


# bodies that say too much ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/auth/login", {"user": "ada", "password": "x", "role": "admin"}, "role"),
        ("POST", "/tokens", {"name": "x", "role": "viewer", "project": "other"}, "project"),
        ("POST", "/tokens", {"name": "x", "role": "viewer", "digest": "00", "created_by": "root"}, "digest"),
        (
            "POST",
            "/users",
            {"name": "x", "password": "quite long enough", "sessions_from": 0},
            "sessions_from",
        ),
        ("PATCH", "/users/bob", {"name": "root"}, "name"),
        ("PUT", "/users/bob/role", {"role": "viewer", "project": "*"}, "project"),
        ("PATCH", "/workflows/x", {"paused": True, "project": "other"}, "project"),
        ("POST", "/workflows/x/runs", {"params": {}, "state": "succeeded"}, "state"),
        ("POST", "/workflows/x/runs", {"project": "other", "trigger": {"by": "root"}}, "project"),
        ("POST", "/runs", {"workflow": "workflow: x", "owner": "root"}, "owner"),
    ],
)
async def test_a_body_sets_nothing_that_it_may_not(
    shared: Secured, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await shared.ask(method, path, shared.token(), json=body)
    assert answer.status_code == 422, answer.text
    assert any(field in f"{one['field']} {one['message']}" for one in answer.json()["problems"]), answer.text


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\nb", "=cmd|'/c calc'!A1", "\x1b[31mred", "a\r\nSet-Cookie: x", "ａ", "x" * 101, ""],
)
async def test_names_that_could_mean_something_elsewhere_are_refused(shared: Secured, name: str) -> None:
    """To a path, a spreadsheet, a terminal, a header, a log."""
    for path, body in (
        ("/tokens", {"name": name, "role": "viewer"}),
        ("/users", {"name": name, "password": "quite long enough"}),
        ("/auth/login", {"user": name, "password": "x"}),
    ):
        assert (await shared.ask("POST", path, shared.token(), json=body)).status_code == 422
    for header in ("Idempotency-Key", "X-Headrace-Project"):
        raw = [
            (b"authorization", f"Bearer {shared.token()}".encode()),
            (header.lower().encode(), name.encode()),
        ]
        if "\n" in name or "\r" in name or not name:
            continue  # no server lets one through
        answer = await shared.client.get("/api/v1/me", headers=raw)
        assert answer.status_code in (200, 400, 403)
        assert (answer.json().get("project", MINE), "set-cookie" in answer.headers) == (MINE, False)


# secrets that look for a way out -----------------------------------------------------------------------------------
CANARY = "canary/Tr0ub4dor&3 ümlaut"


async def test_no_answer_holds_a_secret(tmp_path: Path) -> None:
    """As it is, in base64, quoted: in parameters, descriptions, outputs, errors, logs, reasons and names."""
    encoded = base64.b64encode(CANARY.encode()).decode()
    text = f"""\
workflow: leaks
description: {json.dumps(CANARY)}
tags: [{json.dumps(encoded)}]
params: {{word: {{type: string}}}}
tasks:
  say:
    shell: 'echo "$WORD"; echo "$WORD" | base64 -w0 >&2; echo; printf "{{\\"a\\": \\"%s\\"}}\\n" "$WORD"; exit 3'
    env: {{WORD: "${{{{ params.word }}}}"}}
"""
    async with secured(tmp_path, secrets=(CANARY,)) as api:
        heads = {"Content-Type": "application/yaml"}
        answers = [await api.ask("POST", "/workflows", api.token(), content=text.encode(), headers=heads)]
        assert answers[0].status_code == 201, answers[0].text
        body = {"params": {"word": CANARY}, "key": encoded}
        begun = await api.ask("POST", "/workflows/leaks/runs", api.token(), json=body)
        run = begun.json()["run"]
        answers += [begun, await api.ask("GET", f"/runs/{run}?wait=60s", api.token())]
        answers.append(await api.ask("POST", f"/runs/{run}/rerun", api.token(), json={"reason": CANARY}))
        answers.append(await api.ask("POST", f"/runs/{run}/nothing/{quote(CANARY)}", api.token()))
        answers.append(await api.ask("GET", f"/workflows/{quote(CANARY, safe='')}", api.token()))
        answers.append(await api.ask("GET", f"/runs?state={quote(CANARY)}", api.token()))
        answers.append(await api.ask("POST", "/tokens", api.token(), json={"name": CANARY, CANARY: 1}))
        paths = [
            "/workflows",
            "/workflows/leaks",
            "/workflows/leaks/versions/1",
            "/workflows/leaks/graph?format=svg",
        ]
        paths += [
            "/runs",
            f"/runs/{run}",
            f"/runs/{run}/plan",
            f"/runs/{run}/tasks",
            f"/runs/{run}/why",
            f"/runs/{run}/graph",
        ]
        paths += [
            f"/runs/{run}/tasks/say",
            f"/runs/{run}/tasks/say/inputs",
            f"/runs/{run}/tasks/say/attempts",
        ]
        paths += [
            f"/runs/{run}/tasks/say/attempts/1/logs",
            f"/runs/{run}/timeline",
            "/dead-letters",
            "/audit",
            "/stats",
        ]
        answers += [await api.ask("GET", path, api.token()) for path in paths]
        assert sum("***" in answer.text for answer in answers) >= 5
        for answer in answers:
            whole = answer.text + str(answer.headers)
            for form in (CANARY, encoded, quote(CANARY), quote(CANARY, safe=""), json.dumps(CANARY)[1:-1]):
                assert form not in whole, (answer.request.url, form)
            if answer.headers.get("content-type", "").endswith("json"):
                answer.json()


async def test_a_stream_begins_before_its_first_piece_and_holds_no_secret_either() -> None:
    hides = redactor([CANARY])
    assert hides is not None
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        assert [message["type"] for message in sent] == ["http.response.start"]
        for line in (f"data: {CANARY}\n\n", "data: {}\n\n"):
            await send({"type": "http.response.body", "body": line.encode(), "more_body": True})

    async def measured(scope: Any, receive: Any, send: Any) -> None:
        body = json.dumps({"said": CANARY}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    scope: Any = {"type": "http"}
    middle = Redaction(hides)
    await middle.handle(scope, None, send, streams)  # type: ignore[arg-type]
    assert [message["body"] for message in sent[1:]] == [b"data: ***\n\n", b"data: {}\n\n"]
    sent.clear()
    await middle.handle(scope, None, send, measured)  # type: ignore[arg-type]
    assert sent[1]["body"] == b'{"said":"***"}'
    assert dict(sent[0]["headers"])[b"content-length"] == b"14"


async def test_no_log_line_holds_a_secret_or_forges_another() -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.addFilter(CleanLines(redactor([CANARY])))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("asked for %s\nINFO root logged in \x1b[31m\u202e\r", CANARY)
    try:
        raise ValueError(f"bad {CANARY}")
    except ValueError:
        logger.exception("failed")
    assert lines[0] == "asked for ***\\nINFO root logged in \\x1b[31m\\u202e\\x0d"
    assert CANARY not in "".join(lines)
    assert "ValueError: bad ***" in lines[1]


# the same request many times ---------------------------------------------------------------------------------------
async def test_one_key_a_hundred_times_at_once_is_one_run(shared: Secured) -> None:
    text = "workflow: once\nparams: {n: {type: integer, default: 1}}\ntasks: {a: {shell: 'true'}}\n"
    heads = {"Content-Type": "application/yaml"}
    await shared.ask("POST", "/workflows", shared.token(), content=text, headers=heads)
    key = {"Idempotency-Key": "a-hundred"}
    answers = await asyncio.gather(
        *(
            shared.ask("POST", "/workflows/once/runs", shared.token(), json={}, headers=key)
            for _ in range(100)
        )
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    other = await shared.ask(
        "POST", "/workflows/once/runs", shared.token(), json={"params": {"n": 2}}, headers=key
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    # another asker's key is another key
    theirs = await shared.ask(
        "POST", "/workflows/once/runs", shared.token(Role.OPERATOR), json={}, headers=key
    )
    assert "idempotency-replayed" not in theirs.headers
    assert theirs.json()["run"] != answers[0].json()["run"]


# files that are not there ------------------------------------------------------------------------------------------
async def test_no_path_leads_to_a_file_of_the_machine(shared: Secured) -> None:
    for steps in (
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "....//etc/passwd",
        "/etc/passwd",
        "..\\..\\etc\\passwd",
        "%00",
        "app.py",
    ):
        for root in (
            "/docs/",
            "/api/v1/runs/01890000-0000-7000-8000-000000000000/artifacts/",
            "/api/v1/workflows/",
        ):
            request = shared.client.build_request(
                "GET", "/", headers={"Authorization": f"Bearer {shared.token()}"}
            )
            request.url = request.url.copy_with(raw_path=(root + steps).encode())
            answer = await shared.client.send(request)
            assert answer.status_code in (400, 404), (root, steps)
            assert "root:" not in answer.text
