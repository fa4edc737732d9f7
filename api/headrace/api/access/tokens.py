"""API tokens: `hr_<id>_<secret>`. The secret has 256 random bits and is shown once; only its SHA-256 is kept. No Litestar here."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from hmac import compare_digest

from headrace.engine.ports.access import Role, Token

PREFIX = "hr_"
_FORM = re.compile(r"hr_([0-9a-f]{16})_([0-9a-f]{64})")


def new_token(
    project: str, name: str, role: Role, created_by: str, now: float, lasts: float | None
) -> tuple[str, Token]:
    """The token as its owner sends it, and as it is kept. `lasts`: seconds; None: until it is revoked."""
    id = secrets.token_hex(8)
    text = f"{PREFIX}{id}_{secrets.token_hex(32)}"
    expires = None if lasts is None else now + lasts
    return text, Token(id, project, name, role, digest_of(text), created_by, now, expires)


def digest_of(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()


def well_formed(text: str) -> bool:
    """Whether it can be one at all; the database is asked about nothing else."""
    return _FORM.fullmatch(text) is not None


def holds(text: str, token: Token, now: float) -> bool:
    """Whether what was sent is this token, and may still be used. Compared in a time that does not depend on where they
    differ."""
    found = _FORM.fullmatch(text)
    same = compare_digest(digest_of(text), token.digest) and found is not None and found[1] == token.id
    return same and token.revoked_at is None and (token.expires_at is None or now < token.expires_at)
