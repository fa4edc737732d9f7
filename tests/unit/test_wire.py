"""Messages as bytes: what goes in comes out, and no bytes whatever make reading raise or lose a good neighbour."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.broker.kafka import wire
from headrace.engine.ports.messages import (
    ArtifactRef,
    Beat,
    Dispatch,
    Dispatches,
    ErrorInfo,
    Hole,
    Job,
    Limits,
    Report,
    Reports,
)

TEXT = st.text(max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
NUMBER = st.integers(0, 2**63 - 1)
SMALL = st.integers(0, 2**31 - 1)
TIME = st.none() | st.floats(0, 253402300799, allow_nan=False)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ERRORS = st.builds(
    ErrorInfo,
    TEXT,
    TEXT,
    st.lists(TEXT, max_size=2),
    st.none() | SMALL,
    st.none() | SMALL,
    st.none() | TEXT,
    st.booleans(),
    st.none() | TEXT,
)
REPORTS = st.builds(
    Report,
    NUMBER,
    SMALL,
    SMALL,
    NUMBER,
    SMALL,
    NUMBER,
    NUMBER,
    st.sampled_from(["started", "succeeded", "failed", "skipped", "cancelled", "handed_back", "unknown"]),
    TIME,
    TIME,
    st.none() | VALUE.filter(lambda value: value is not None).map(lambda value: json.dumps(value).encode()),
    st.none() | st.builds(ArtifactRef, TEXT, TEXT, SMALL),
    st.none() | ERRORS,
    TIME,
)
JOBS = st.builds(
    Job,
    TEXT,
    TEXT,
    TEXT,
    st.dictionaries(TEXT, VALUE, max_size=2),
    st.builds(Limits, TIME, st.floats(0, 1e6), st.floats(0, 1e6)),
    TEXT,
    TEXT,
    st.none() | TEXT,
)
HOLES = st.builds(
    Hole,
    st.lists(TEXT | SMALL, max_size=3),
    st.lists(TEXT | st.dictionaries(TEXT, VALUE, max_size=2), max_size=2),
)


@st.composite
def dispatches(draw: st.DrawFn) -> list[Dispatch]:
    """Some attempts of few jobs."""
    jobs = draw(st.lists(JOBS, min_size=1, max_size=3))
    item = st.builds(
        Dispatch,
        NUMBER,
        TEXT,
        SMALL,
        SMALL,
        NUMBER,
        SMALL,
        NUMBER,
        NUMBER,
        st.sampled_from(jobs),
        st.dictionaries(TEXT, VALUE, max_size=2),
        st.lists(HOLES, max_size=2),
        st.integers(0, 2),
        st.none() | TEXT,
    )
    return draw(st.lists(item, max_size=5))


def report(number: int, output: bytes | None = None) -> Report:
    return Report(number, 1, 0, 0, 1, 1, 1, "succeeded", output=output)


@given(worker=NAMES, items=st.lists(REPORTS, max_size=5))
def test_reports_come_out_as_they_went_in(worker: str, items: list[Report]) -> None:
    message = Reports(worker, "i", items)
    ((piece, body),) = wire.encode_to_engine(message)
    assert piece == message
    assert wire.decode_to_engine(body) == (message, ())


@given(to=TEXT, items=dispatches())
def test_dispatches_come_out_as_they_went_in_and_share_their_jobs(to: str, items: list[Dispatch]) -> None:
    message = Dispatches(to, 1, 2, items)
    ((_, body),) = wire.encode_to_worker(message)
    assert wire.decode_to_worker(body) == (message, ())
    assert len(json.loads(body)["jobs"]) == len({id(item.job) for item in items})


@given(st.lists(REPORTS, min_size=1, max_size=4), st.data())
def test_a_bad_item_costs_its_neighbours_nothing(items: list[Report], data: st.DataObject) -> None:
    envelope = json.loads(wire.encode_to_engine(Reports("w", "i", items))[0][1])
    place = data.draw(st.integers(0, len(items)))
    bad: Any = data.draw(
        st.sampled_from([None, 3, "x", [], {}, {"run": 1}, {**envelope["items"][0], "run": -1}])
        | st.just({**envelope["items"][0], "kind": "exploded"})
    )
    envelope["items"].insert(place, bad)
    decoded = wire.decode_to_engine(json.dumps(envelope).encode())
    assert decoded.message == Reports("w", "i", items)
    assert [fault.item for fault in decoded.faults] == [place]
    assert json.loads(decoded.faults[0].body) == bad


@given(st.binary(max_size=200) | VALUE.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_make_reading_raise(body: bytes) -> None:
    for each in (body, b'{"v":1,' + body, b'{"v":1,"type":"Reports","items":' + body + b"}"):
        for decode in (wire.decode_to_engine, wire.decode_to_worker, wire.decode_workers):
            decoded: wire.Decoded[Any] = decode(each)
            assert decoded.message is not None or decoded.faults


@pytest.mark.parametrize(
    "odd",
    [
        {"worker": "a\0b"},
        {"incarnation": "\0"},
        {"worker": ""},
        {"worker": "w" * 501},
        {"slots": 2**31},
        {"held": -1},
    ],
)
def test_a_beat_that_no_database_could_note_is_a_fault(odd: dict[str, Any]) -> None:
    beat = Beat("w", "i", 0, ["default"], {}, 1, 0, 0)
    assert wire.decode_workers(wire.enveloped(beat)).message == beat
    decoded = wire.decode_workers(wire.enveloped(msgspec.structs.replace(beat, **odd)))
    assert decoded.message is None
    assert len(decoded.faults) == 1


@pytest.mark.parametrize("cut", [1, 10, 50, 100])
def test_half_of_an_envelope_is_one_fault(cut: int) -> None:
    body = wire.encode_to_engine(Reports("w", "i", [report(1), report(2)]))[0][1]
    decoded = wire.decode_to_engine(body[:-cut])
    assert decoded.message is None
    assert [(fault.item, fault.body) for fault in decoded.faults] == [(-1, body[:-cut])]


def test_large_envelopes_are_cut_between_items_and_large_items_stay_whole() -> None:
    items = [report(n, b'"%s"' % (b"x" * 100_000)) for n in range(5)] + [
        report(9, b'"%s"' % (b"y" * 400_000))
    ]
    pieces = wire.encode_to_engine(Reports("w", "i", items))
    assert [each for piece, _ in pieces if isinstance(piece, Reports) for each in piece.items] == items
    for piece, body in pieces:
        assert isinstance(piece, Reports)
        assert len(body) <= wire.ENVELOPE_BYTES or piece.items == items[-1:]
        assert wire.decode_to_engine(body) == (piece, ())


def test_null_is_no_output_however_it_is_written() -> None:
    for said in (b"", b',"output":null', b',"output": null'):
        body = b'{"v":1,"type":"Reports","worker":"w","incarnation":"i","items":[{"run":1,"generation":1,"task":0,'
        body += b'"map":0,"attempt":1,"epoch":1,"n":1,"kind":"succeeded"%s}]}' % said
        assert wire.decode_to_engine(body).message == Reports("w", "i", [report(1)])


def test_a_job_that_is_not_in_the_envelope_is_that_items_fault() -> None:
    job = Job("w", "t", "python", {}, Limits())
    items = [Dispatch(n, "r", 1, 0, 0, 1, 1, 1, job, {}) for n in range(2)]
    envelope = json.loads(wire.encode_to_worker(Dispatches("w", 0, 1, items))[0][1])
    envelope["items"][0]["job"] = 1
    decoded = wire.decode_to_worker(json.dumps(envelope).encode())
    assert decoded.message == Dispatches("w", 0, 1, items[1:])
    assert [(fault.item, fault.reason) for fault in decoded.faults] == [(0, "its job is not in the envelope")]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 501])
def test_whoever_has_no_name_that_can_be_kept_is_not_read(name: str) -> None:
    bodies = {
        "Reports": {"worker": name, "incarnation": "i", "items": []},
        "Alive": {"worker": "w", "incarnation": name, "part": 0, "seen": {}, "held": []},
    }
    for kind, fields in bodies.items():
        decoded = wire.decode_to_engine(json.dumps({"v": 1, "type": kind, **fields}).encode())
        assert decoded.message is None
        assert "500 characters" in decoded.faults[0].reason
    lines = json.dumps({"v": 1, "type": "Lines", "engine": name, "depths": {}}).encode()
    assert wire.decode_workers(lines).message is None
