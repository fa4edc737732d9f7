"""Takes the values of secrets out of what an attempt leaves behind: log lines, outputs, errors."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from headrace.engine.ports.messages import ErrorInfo

HIDDEN = "***"
SHORTEST_PART = 6
"""Shorter lines or base64 cores of a secret are left alone: they would hide ordinary text."""


class Redactor:
    """Replaces every form of the given secrets by `***`: as they are, in base64 (at any alignment), URL-quoted,
    as a JSON string, and each longer line of one that spans lines."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            forms |= forms_of(secret)
        forms.discard("")
        # longest first, so that no part of a longer form stays beside the mark
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self.longest = len(ordered[0]) if ordered else 0
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def value(self, value: Any) -> Any:
        """A copy in which every string and key, and every number that spells a secret, is redacted."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return HIDDEN if self._pattern.fullmatch(str(value)) else value
        return value

    def output(self, output: bytes) -> bytes:
        """JSON text without the secrets."""
        if self._pattern is None or not self._pattern.search(output.decode()):
            return output
        return msgspec.json.encode(self.value(msgspec.json.decode(output)))

    def error(self, error: ErrorInfo) -> ErrorInfo:
        traceback = None if error.traceback is None else self.text(error.traceback)
        return msgspec.structs.replace(error, message=self.text(error.message), traceback=traceback)


def forms_of(secret: str) -> set[str]:
    """The texts in which a secret may show itself."""
    stripped = secret.strip()
    lines = [line.strip() for line in secret.splitlines()]
    forms = {secret, stripped, *(line for line in lines if len(line) >= SHORTEST_PART)}
    forms |= {
        form for text in (secret, stripped) for form in (quote(text, safe=""), quote(text), quote_plus(text))
    }
    forms |= {json.dumps(text)[1:-1] for text in (secret, stripped)}
    forms |= {json.dumps(text, ensure_ascii=False)[1:-1] for text in (secret, stripped)}
    for text in (secret, stripped):
        forms |= _base64_forms(text.encode(errors="surrogatepass"))
    return forms


def _base64_forms(data: bytes) -> set[str]:
    """Base64 of the data alone, and what stays the same of it inside longer data at each alignment."""
    forms: set[str] = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data).decode()
        forms |= {whole, whole.rstrip("=")}
        for offset in (0, 1, 2):
            text = encode(b"\0" * offset + data).decode().rstrip("=")
            start = (0, 2, 3)[offset]
            # the last character is shared with the next byte unless the data ends on a group of three
            end = len(text) if (offset + len(data)) % 3 == 0 else len(text) - 1
            if end - start >= SHORTEST_PART:
                forms.add(text[start:end])
    return forms
