"""How the topics beside the hot path are reached and taken: settings in FastStream's words, headers of any bytes, what a batch
that was left does to the next."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from faststream.kafka.parser import AioKafkaBatchParser
from faststream.kafka.security import parse_security

from headrace.engine.broker.kafka.settings import KafkaSettings, Mechanism
from headrace.engine.broker.streams.letters import DeadLetters
from headrace.engine.broker.streams.messages import Unreadable, decode_lines, encode_letter, encode_lines
from headrace.engine.broker.streams.streams import Reading, Streams, _parsed, _Reach
from headrace.engine.ports.letters import DeadLetter, Outgoing, OutgoingLetter
from headrace.engine.ports.messages import Log


def record(value: bytes, offset: int = 0, headers: Any = ()) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("t", 0, offset, 1, 0, None, value, None, 0, len(value), headers)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_a_password_is_shown_as_on_the_hot_path(mechanism: Mechanism, encrypted: bool) -> None:
    settings = KafkaSettings(
        ("x:1",),
        security="SASL_SSL" if encrypted else "SASL_PLAINTEXT",
        mechanism=mechanism,
        user="u",
        password="p",
    )
    reach = _Reach(settings, "c")
    words, hot = parse_security(reach.security()), reach._secure
    assert {name: value for name, value in words.items() if value is not None} == hot


@pytest.mark.parametrize("security", ["PLAINTEXT", "SSL"])
def test_without_a_password_too(security: Any) -> None:
    reach = _Reach(KafkaSettings(("x:1",), security=security), "c")
    words = parse_security(reach.security())
    assert {name: value for name, value in words.items() if value is not None} == reach._secure


async def test_headers_that_are_no_text_cost_nothing() -> None:
    batch = (record(b"1", 0, (("a", b"\xff"), ("b", None))), record(b"2", 1, (("c", b"ok"),)))
    parser = AioKafkaBatchParser(SimpleNamespace, None)  # type: ignore[arg-type]
    parsed = await _parsed(batch, parser.parse_batch)  # type: ignore[arg-type]
    assert [each.value for each in parsed.raw_message] == [b"1", b"2"]
    assert batch[1].headers == (("c", b"ok"),)


async def test_letters_end_though_a_new_one_comes_in_the_same_moment() -> None:
    """Python 3.11's `wait_for` answers with what it waited for and forgets that it was cancelled meanwhile."""
    box = SimpleNamespace(take_unpublished=_nothing, published=_nothing)
    letters = DeadLetters(box, _nothing, lambda: 0.0)  # type: ignore[arg-type]
    task = asyncio.create_task(letters.run())
    await asyncio.sleep(0.01)  # it waits
    letters.look()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await task


async def _nothing(*given: Any) -> Outgoing:
    return Outgoing([], [])


class Message:
    """A batch as FastStream hands it over."""

    def __init__(self, *values: bytes) -> None:
        self.raw_message = tuple(map(record, values))
        self.acks = 0

    async def ack(self) -> None:
        self.acks += 1


async def test_after_a_batch_that_was_left_none_is_taken_so_that_no_commit_passes_over_it() -> None:
    taken: list[bytes] = []

    async def take(records: Any) -> None:
        taken.extend(each.value for each in records)
        if taken[-1] == b"bad":
            raise RuntimeError("no")

    reading = Reading("t", "g", take)
    streams = Streams(KafkaSettings(("x:1",)), "n", [reading])
    streams._failed = asyncio.get_running_loop().create_future()
    good, bad, next_ = Message(b"good"), Message(b"bad"), Message(b"next")
    for message in (good, bad, next_):
        await streams._handle(reading, message)  # type: ignore[arg-type]
    assert taken == [b"good", b"bad"]
    assert [message.acks for message in (good, bad, next_)] == [1, 0, 0]
    assert isinstance(streams._failed.exception(), RuntimeError)


def test_lines_are_bounded_where_they_are_read() -> None:
    body = encode_lines([Log("r", "t", 0, 1, 1, 1.5, "stdout", "text")], 7)
    assert bytes(decode_lines(body).lines) == b'[[1.5,"stdout","text"]]'
    for wrong in (
        b"",
        b"[]",
        body.replace(b'"seq":7', b'"seq":-7'),
        body.replace(b"1.5,", b'"x",'),
        b"[" * 100_000,
    ):
        with pytest.raises(Unreadable):
            decode_lines(wrong)


def test_a_letter_that_is_larger_than_a_message_is_cut_to_what_fits() -> None:
    huge = b'{"kind": "E", "message": "' + b"x" * 2_000_000 + b'"}'
    letter = DeadLetter(
        1, 1, "r", 1, 0, 0, 1, 2.0, "default", "w", "a", huge, "f", "open", None, None, None
    )  # fmt: skip
    body = encode_letter(OutgoingLetter(letter, b"[" + huge + b"]"))
    assert len(body) < 1_000
    assert b"headrace dlq show 1" in body
