"""Users, tokens, logins and audit lines, as the API shows them and as it is asked for them. No Litestar here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from headrace.api.access.verifying import Verdict
from headrace.api.showing.times import instant
from headrace.api.veiling import Veil
from headrace.engine.ports.access import EVERY_PROJECT, Role, Token, User
from headrace.engine.ports.acts import AuditLine

RoleWord = Literal["viewer", "operator", "author", "admin"]
UserName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z", description="Letters, digits, . _ @ + -")
]
TokenName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z", description="Letters, digits, . _ -")
]
ProjectName = Annotated[str, Meta(pattern=r"^(\*|[^\x00-\x20\x7f/*][^\x00-\x1f\x7f/]{0,99})\Z")]
Password = Annotated[str, Meta(min_length=1, max_length=256)]
Roles = Annotated[
    dict[ProjectName, RoleWord],
    Meta(max_length=1000, description="By project; * is every one that is not named"),
]
YEAR = 366 * 86_400


class LoginBody(msgspec.Struct, forbid_unknown_fields=True):
    """Who logs in."""

    user: UserName
    password: Password


class LoginAnswer(msgspec.Struct, kw_only=True):
    """A login: send it as `Authorization: Bearer …` until `expires_at`, then log in again."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"
    user: str
    expires_at: str


class PasswordBody(msgspec.Struct, forbid_unknown_fields=True):
    """The present password and the next one, of 12 characters or more."""

    old: Password
    new: Password


class Me(msgspec.Struct, kw_only=True):
    """Who asks, as the API understands it. `everywhere`: an admin of every project."""

    actor: str
    project: str
    role: RoleWord
    everywhere: bool
    address: str | None


class UserEntry(msgspec.Struct, kw_only=True):
    """A user. `role`: in the project that was asked about. `roles`: in every project; null for who is not admin everywhere."""

    name: str
    role: RoleWord | None
    roles: Roles | None
    created_at: str
    disabled_at: str | None


class NewUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A user to be."""

    name: UserName
    password: Password
    roles: Roles = {}


class UserChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to change of a user; what is left out stays."""

    password: Password | None = None
    disabled: bool | None = None
    roles: Roles | None = None


class RoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A role in the project that is asked about; `everywhere`: in every project that is not named otherwise. null takes it away."""

    role: RoleWord | None
    everywhere: bool = False


class TokenEntry(msgspec.Struct, kw_only=True):
    """An API token, without what makes it one."""

    id: str
    name: str
    role: RoleWord
    created_by: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewToken(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A token to be. It ends after `lasts_seconds`, 90 days unless said otherwise; null: when somebody revokes it."""

    name: TokenName
    role: RoleWord
    lasts_seconds: Annotated[int, Meta(ge=60, le=10 * YEAR)] | None = 90 * 86_400


class TokenAnswer(TokenEntry, kw_only=True):
    """The token itself stands in `token`, this once; null when the request is a repeated one."""

    token: str | None


class AuditEntry(msgspec.Struct, kw_only=True):
    """Who did what, to what, when and from where. `place` and `hash` are null until the line is chained, seconds later."""

    id: int
    at: str
    actor: str
    address: str | None
    action: str
    object: str
    detail: Any
    place: int | None
    hash: str | None


class AuditVerdict(msgspec.Struct, kw_only=True):
    """Whether the audit holds: `lines` follow from each other from the first on, up to the one of `hash`. `problem`: the first place
    that does not hold."""

    holds: bool
    lines: int
    hash: str
    problem: str | None


def role_of(word: str) -> Role:
    return Role[word.upper()]


def roles_of(roles: dict[str, RoleWord]) -> dict[str, Role]:
    return {project: role_of(word) for project, word in roles.items()}


def user_entry(user: User, project: str, everywhere: bool) -> UserEntry:
    role = user.roles.get(project, user.roles.get(EVERY_PROJECT))
    return UserEntry(
        name=user.name,
        role=None if role is None else _word(role),
        roles={name: _word(had) for name, had in sorted(user.roles.items())} if everywhere else None,
        created_at=instant(user.created_at),
        disabled_at=instant(user.disabled_at),
    )


def token_entry(token: Token) -> TokenEntry:
    return TokenEntry(**_told(token))


def token_answer(token: Token, text: str | None) -> TokenAnswer:
    return TokenAnswer(**_told(token), token=text)


def audit_entry(line: AuditLine, veil: Veil) -> AuditEntry:
    return AuditEntry(
        id=line.id,
        at=instant(line.at),
        actor=line.actor,
        address=line.address,
        action=line.action,
        object=line.object,
        detail=veil.value(line.detail),
        place=line.place,
        hash=line.hash,
    )


def audit_verdict(verdict: Verdict) -> AuditVerdict:
    return AuditVerdict(
        holds=verdict.problem is None, lines=verdict.lines, hash=verdict.hash, problem=verdict.problem
    )


def _told(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.word,
        "created_by": token.created_by,
        "created_at": instant(token.created_at),
        "expires_at": instant(token.expires_at),
        "revoked_at": instant(token.revoked_at),
    }


def _word(role: Role) -> RoleWord:
    return cast(RoleWord, role.word)
