"""Logins as signed tokens (JWT, RFC 7519, by the rules of RFC 8725): who logged in, when, and until when that holds. No
Litestar here.

One algorithm, pinned; the key is found by its id among those configured, and nowhere else; every claim is demanded. What is
in a login says nothing of what its user may do: roles are looked up, so that taking one away holds at once.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

ALGORITHM = "HS256"
ISSUER = "headrace"
AUDIENCE = "headrace-api"
LASTS_SECONDS = 15 * 60.0
"""A login ends by itself after this time; then one logs in again."""
SHORTEST_KEY = 32
"""Bytes of a signing key, at least: as many as the digest has."""
LONGEST = 2048
"""Characters of a login, at most. Nothing longer is looked at."""
SKEW_SECONDS = 5.0
"""By how much the clocks of two processes may differ."""
_CLAIMS = ("iss", "aud", "sub", "iat", "nbf", "exp", "since")
_KNOWN = ("change", "secret", "password", "example", "headrace", "default", "12345", "placeholder")


class WeakKey(ValueError):
    """A signing key that others could guess: what is wrong with it and what to do, without the key."""


class Login(NamedTuple):
    """`at` and `until`: seconds since the epoch. `since`: from which moment on the user's logins counted when this one was
    made (`User.sessions_from`); it counts until that is another, however the clocks of those who change it go."""

    user: str
    at: float
    until: float
    since: float


class Signer:
    """Signs logins with the first key and knows those signed with any of them.

    Args:
        keys: the key now in use; after it the ones that it replaced, while logins signed with them still live.

    Raises WeakKey.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("a signer needs a key")
        for key in keys:
            check_key(key)
        self._keys = {_id(key): key.encode() for key in keys}
        self._newest = _id(keys[0])

    def sign(self, user: str, now: float, since: float) -> tuple[str, Login]:
        """A login from `now` on, as a token. `since`: see Login."""
        import jwt

        login = Login(user, now, now + LASTS_SECONDS, since)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user,
            "iat": login.at,
            "nbf": login.at,
            "exp": login.until,
            "since": login.since,
        }
        headers = {"kid": self._newest}
        return jwt.encode(claims, self._keys[self._newest], ALGORITHM, headers), login

    def read(self, token: str, now: float) -> Login | None:
        """The login in a token; None for one that does not hold, whatever the reason."""
        import jwt

        if len(token) > LONGEST:
            return None
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM or "crit" in header:
                return None
            key = self._keys.get(header["kid"])
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # times are compared below, on the clock of the database, which wrote them
                options={
                    "require": list(_CLAIMS),
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
            return None
        return _login(claims, now)


def check_key(key: str) -> None:
    """Raises WeakKey."""
    if len(key.encode()) < SHORTEST_KEY:
        raise WeakKey(f"it has fewer than {SHORTEST_KEY} bytes")
    lowered = key.lower()
    if len(set(key)) < 12 or any(lowered.startswith(word) for word in _KNOWN):
        raise WeakKey("others can guess it")


def _login(claims: dict[str, Any], now: float) -> Login | None:
    user, times = claims["sub"], [claims[name] for name in ("iat", "nbf", "exp", "since")]
    if not isinstance(user, str) or not all(map(_is_time, times)):
        return None
    at, begins, ends, since = map(float, times)
    if max(at, begins) > now + SKEW_SECONDS or ends <= now or ends - at > LASTS_SECONDS + 1:
        return None
    return Login(user, at, ends, since)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _id(key: str) -> str:
    """A key's public name, from which nothing of it follows."""
    return hmac.new(key.encode(), b"headrace key id", sha256).hexdigest()[:16]
