"""No form of a secret survives (faults 72)."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.ports.messages import ErrorInfo
from headrace.runners.redaction import Redactor

SECRETS = [
    "hunter2-pässwört/+==",
    'with "quotes" \\ and\ttabs',
    "a b&c=d?",
    "-----BEGIN-----\nMIIabcdef12345\n-----END-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_every_form(secret: str) -> None:
    redactor = Redactor([secret])
    raw = secret.encode()
    forms = [
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        urlencode({"k": secret}),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    ]
    for form in forms:
        assert redactor.text(f"x{form}y") != f"x{form}y"
        hidden = redactor.text(form)
        assert secret not in hidden
        assert "***" in hidden


@given(st.binary(max_size=9), st.binary(max_size=9), st.text(min_size=12, max_size=30))
def test_base64_of_something_longer(before: bytes, after: bytes, secret: str) -> None:
    """A basic-auth header holds the secret at some alignment, with other bytes around it."""
    try:
        raw = secret.encode()
    except UnicodeEncodeError:
        return
    text = base64.b64encode(before + raw + after).decode()
    assert "***" in Redactor([secret]).text(text)


def test_each_longer_line_of_a_secret_is_one() -> None:
    redactor = Redactor(["first-line\nab\nsecond-line"])
    assert redactor.text("ab first-line") == "ab ***"
    assert redactor.text("second-line") == "***"


def test_outputs_stay_json() -> None:
    redactor = Redactor(["1234", 'quo"te', "true"])
    output = json.dumps(
        {"n": 1234, "m": 12345, 'key quo"te': ['a quo"te', True, "true", 1234.0, None]}
    ).encode()
    assert json.loads(redactor.output(output)) == {
        "n": "***",
        "m": 12345,
        "key ***": ["a ***", True, "***", 1234.0, None],
    }
    assert redactor.output(b'{"b":1,  "a":2}') == b'{"b":1,  "a":2}', "what holds no secret is left as it is"


def test_errors() -> None:
    error = Redactor(["hunter2"]).error(ErrorInfo("E", "no hunter2", traceback="at hunter2"))
    assert (error.message, error.traceback) == ("no ***", "at ***")


def test_longer_secrets_go_first_and_empty_ones_hide_nothing() -> None:
    assert Redactor(["abc", "abcdef", ""]).text("abcdef abc x") == "*** *** x"
    assert Redactor([""]).text("text") == "text"
    assert Redactor([]).text("text") == "text"
