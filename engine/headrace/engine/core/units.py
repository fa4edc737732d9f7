"""Durations, sizes and shares as people write them: `1h30m`, `32KiB`, `5%`. Exact both ways, never rounded."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_BYTES = {"B": 1, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}

_NUMBER = r"\d{1,18}(?:\.\d{1,9})?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|[smhd]))+", re.ASCII)
_DURATION_PART = re.compile(rf"({_NUMBER})(ms|[smhd])", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})({'|'.join(_BYTES)})", re.ASCII)
_SHARE = re.compile(rf"({_NUMBER})%", re.ASCII)
_BARE_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> timedelta:
    """`1h30m`, `0s`, `250ms` as a timedelta.

    Raises ValueError, worded for the author of a workflow, when the text is no duration, names a unit twice, is finer
    than a microsecond or longer than a timedelta holds.
    """
    written = text.strip()
    if not _DURATION.fullmatch(written):
        if _BARE_NUMBER.fullmatch(written) and not written.startswith("-"):
            raise ValueError(f'"{text}" has no unit: write {written}s, {written}m or {written}h')
        raise ValueError(
            f'"{text}" is no duration: write a number with ms, s, m, h or d, such as 30s or 1h30m'
        )
    seen: set[str] = set()
    total = Decimal(0)
    for number, unit in _DURATION_PART.findall(written):
        if unit in seen:
            raise ValueError(f'"{text}" names the unit {unit} twice')
        seen.add(unit)
        total += Decimal(number) * _MICROSECONDS[unit]
    if total != int(total):
        raise ValueError(f'"{text}" is finer than a microsecond')
    try:
        return timedelta(microseconds=int(total))
    except OverflowError:
        raise ValueError(f'"{text}" is longer than 999999999 days') from None


@lru_cache(maxsize=1024)
def format_duration(duration: timedelta) -> str:
    """The one canonical text of a duration: the largest units first, `90s` as `1m30s`, nothing as `0s`.

    Raises ValueError when it is negative, which nothing in the language may be.
    """
    left = (duration.days * 86_400 + duration.seconds) * 1_000_000 + duration.microseconds
    if left < 0:
        raise ValueError(f"a duration cannot be negative, as {duration} is")
    parts: list[str] = []
    for unit, size in _MICROSECONDS.items():
        count, rest = divmod(left, size)
        if unit == "ms" and left:
            parts.append(f"{_plain(Decimal(left) / size)}ms")
        elif count:
            parts.append(f"{count}{unit}")
            left = rest
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """`32KiB` as a number of bytes. Raises ValueError when it is no size or no whole number of bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is no size: write a number with {", ".join(_BYTES)}, such as 32KiB')
    count = Decimal(match[1]) * _BYTES[match[2]]
    if count != int(count):
        raise ValueError(f'"{text}" is no whole number of bytes')
    return int(count)


def parse_share(text: str) -> float:
    """`5%` as 0.05. Raises ValueError unless it is a percentage from 0% to 100%."""
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is no share: write a percentage, such as 5%')
    share = Decimal(match[1]) / 100
    if share > 1:
        raise ValueError(f'"{text}" is more than 100%')
    return float(share)


def format_share(share: float) -> str:
    """The inverse of `parse_share`: 0.05 as `5%`."""
    return f"{_plain(Decimal(repr(float(share))) * 100)}%"


def _plain(number: Decimal) -> str:
    """Without exponent and trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
