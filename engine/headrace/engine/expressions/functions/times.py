"""Functions on timestamps, durations and dates. Timestamps are UTC; a zone is only a way of reading them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.functions.arguments import moment, text, whole
from headrace.engine.expressions.kinds import kind
from headrace.engine.expressions.work import Work

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DURATION = re.compile(r"(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_OUT_OF_RANGE = "the time is out of range: years 1 to 9999"
_MAX_FORMAT = 200


def parse_timestamp(source: str) -> datetime:
    """RFC 3339 with a zone; digits beyond microseconds are cut. Raises Fault."""
    found = _TIMESTAMP.fullmatch(source) if len(source) <= 40 else None
    if found is None:
        hint = '; write timestamp(d + "T00:00:00Z") for a date' if _DATE.fullmatch(source) else ""
        raise Fault(f"timestamp takes RFC 3339 text with a zone, like 2024-01-31T06:00:00Z{hint}")
    day, time, fraction, zone_text = found.groups()
    offset = "+00:00" if zone_text in "Zz" else zone_text
    try:
        return datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6]:0<6}{offset}").astimezone(UTC)
    except ValueError:
        raise Fault("there is no such time") from None
    except OverflowError:
        raise Fault(_OUT_OF_RANGE) from None


def duration(work: Work, value: Any) -> timedelta:
    """From text like `1h30m`, `3.5s`, `-10ms`."""
    if type(value) is timedelta:
        return value
    source = text("duration", value)
    digits = source.removeprefix("-") if source[:1] == "-" else source.removeprefix("+")
    total, at = 0, 0
    while (found := _DURATION.match(digits, at)) is not None and at < 100:
        number, unit = found.groups()
        before, _, after = number.partition(".")
        scale = _NANOSECONDS[unit]
        total += int(before or 0) * scale + int(after or 0) * scale // 10 ** len(after)
        at = found.end()
    if digits != "0" and (at < len(digits) or not digits):
        hint = "; days are written in hours" if re.search(r"\dd", source[:40]) else ""
        raise Fault(f"duration takes numbers with units of h m s ms us ns, like 1h30m{hint}")
    try:
        return timedelta(microseconds=(-1 if source[0] == "-" else 1) * (total // 1000))
    except OverflowError:
        raise Fault("the duration is out of range") from None


def date_add(work: Work, day: Any, days: Any) -> str:
    """The date, as text, that lies so many days later."""
    source = text("date_add", day)
    try:
        if not _DATE.fullmatch(source):
            raise ValueError
        start = date.fromisoformat(source)
    except ValueError:
        raise Fault("date_add takes a date like 2024-01-31") from None
    try:
        return (start + timedelta(days=whole("date_add", days))).isoformat()
    except OverflowError:
        raise Fault(_OUT_OF_RANGE) from None


def format_time(work: Work, value: Any, pattern: Any, zone_name: Any = "UTC") -> str:
    """A timestamp, RFC 3339 text or a date (its midnight in the zone), written by a strftime pattern in a zone."""
    layout = text("format_time", pattern)
    if len(layout) > _MAX_FORMAT:
        raise Fault(f"the format is longer than {_MAX_FORMAT} characters")
    there = zone(zone_name)
    if type(value) is str and _DATE.fullmatch(value):
        try:
            local = datetime.combine(date.fromisoformat(value), datetime.min.time(), there)
        except ValueError:
            raise Fault("there is no such date") from None
    elif type(value) is str:
        local = _local(parse_timestamp(value), there)
    elif type(value) is datetime:
        local = _local(value, there)
    else:
        raise Fault(f"format_time takes a timestamp or a text, not {kind(value)}")
    work.spend(len(layout))
    return re.sub(r"%(.?)", lambda found: _field(found[1], local), layout, flags=re.DOTALL)


def zone(name: Any) -> tzinfo:
    """A zone by its IANA name, or an offset like `+02:00`."""
    source = text("a zone", name)
    if source == "UTC":
        return UTC
    if found := _OFFSET.fullmatch(source):
        hours, minutes = int(found[2]), int(found[3])
        if hours < 24 and minutes < 60:
            offset = timedelta(hours=hours, minutes=minutes)
            return timezone(-offset if found[1] == "-" else offset)
    known = _zone(source) if len(source) <= 64 else None
    if known is None:
        raise Fault(f"there is no time zone {source[:64]!r}")
    return known


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _local(value: datetime, there: tzinfo) -> datetime:
    try:
        return value.astimezone(there)
    except OverflowError:
        raise Fault(_OUT_OF_RANGE) from None


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_FIELDS: dict[str, Callable[[datetime], str]] = {
    "Y": lambda t: f"{t.year:04d}",
    "y": lambda t: f"{t.year % 100:02d}",
    "m": lambda t: f"{t.month:02d}",
    "d": lambda t: f"{t.day:02d}",
    "e": lambda t: f"{t.day:2d}",
    "H": lambda t: f"{t.hour:02d}",
    "I": lambda t: f"{(t.hour - 1) % 12 + 1:02d}",
    "M": lambda t: f"{t.minute:02d}",
    "S": lambda t: f"{t.second:02d}",
    "f": lambda t: f"{t.microsecond:06d}",
    "p": lambda t: "AM" if t.hour < 12 else "PM",
    "A": lambda t: _DAYS[t.weekday()],
    "a": lambda t: _DAYS[t.weekday()][:3],
    "B": lambda t: _MONTHS[t.month - 1],
    "b": lambda t: _MONTHS[t.month - 1][:3],
    "j": lambda t: f"{t.timetuple().tm_yday:03d}",
    "u": lambda t: str(t.isoweekday()),
    "w": lambda t: str(t.isoweekday() % 7),
    "G": lambda t: f"{t.isocalendar().year:04d}",
    "V": lambda t: f"{t.isocalendar().week:02d}",
    "F": lambda t: f"{t.year:04d}-{t.month:02d}-{t.day:02d}",
    "T": lambda t: f"{t.hour:02d}:{t.minute:02d}:{t.second:02d}",
    "s": lambda t: str((t - EPOCH) // timedelta(seconds=1)),
    "z": lambda t: _offset_text(t),
    "Z": lambda t: t.tzname() or "",
    "%": lambda t: "%",
}
"""Fields of a format, the same on every platform and in every locale."""


def _field(letter: str, value: datetime) -> str:
    write = _FIELDS.get(letter)
    if write is None:
        raise Fault(
            f"the format has no field %{letter}; there are {' '.join('%' + known for known in _FIELDS)}"
        )
    return write(value)


def _offset_text(value: datetime) -> str:
    minutes = (value.utcoffset() or timedelta()) // timedelta(minutes=1)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def _getter(
    name: str, of_time: Callable[[datetime], int], unit: timedelta | None = None
) -> Callable[..., int]:
    """A getter on timestamps, read in a zone; with `unit` also on durations, which count whole units."""

    def get(work: Work, value: Any, zone_name: Any = "UTC") -> int:
        if unit is not None and type(value) is timedelta:
            return value // unit if value >= timedelta() else -(-value // unit)
        return of_time(_local(moment(name, value), zone(zone_name)))

    return get


_GETTERS: tuple[tuple[str, Callable[[datetime], int], timedelta | None], ...] = (
    ("getFullYear", lambda t: t.year, None),
    ("getMonth", lambda t: t.month - 1, None),
    ("getDate", lambda t: t.day, None),
    ("getDayOfMonth", lambda t: t.day - 1, None),
    ("getDayOfWeek", lambda t: t.isoweekday() % 7, None),
    ("getDayOfYear", lambda t: t.timetuple().tm_yday - 1, None),
    ("getHours", lambda t: t.hour, timedelta(hours=1)),
    ("getMinutes", lambda t: t.minute, timedelta(minutes=1)),
    ("getSeconds", lambda t: t.second, timedelta(seconds=1)),
    ("getMilliseconds", lambda t: t.microsecond // 1000, timedelta(milliseconds=1)),
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "duration": duration,
    "date_add": date_add,
    "format_time": format_time,
    **{name: _getter(name, of_time, unit) for name, of_time, unit in _GETTERS},
}
