"""docs/messages.md says what the code does: its examples fit the schema, and are read by the code as they stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from headrace.engine.broker.kafka import wire
from headrace.engine.broker.kafka.schema import MESSAGES, document
from headrace.engine.broker.streams.messages import DeadLetter, UnreadableMessage, decode_lines
from headrace.engine.ports.announcing import CloudEvent
from headrace.engine.ports.requests import RunRequest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "messages.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"### (\w+)\n(?:(?!###).)*?```json\n(.*?)```", PAGE, re.S))
READERS: dict[str, tuple[Callable[[bytes], wire.Decoded[Any]], Callable[[Any], bytes]]] = {
    "job-tasks": (wire.decode_to_worker, lambda message: wire.encode_to_worker(message)[0][1]),
    "job-status": (wire.decode_to_engine, lambda message: wire.encode_to_engine(message)[0][1]),
    "job-workers": (wire.decode_workers, wire.enveloped),
    "job-requests": (
        lambda body: wire.Decoded(msgspec.json.decode(body, type=RunRequest)),
        msgspec.json.encode,
    ),
    "job-logs": (lambda body: wire.Decoded(decode_lines(body)), msgspec.json.encode),
    "job-dlq": (
        lambda body: wire.Decoded(msgspec.json.decode(body, type=DeadLetter | UnreadableMessage)),
        wire.enveloped,
    ),
    "job-events": (
        lambda body: wire.Decoded(msgspec.json.decode(body, type=CloudEvent)),
        msgspec.json.encode,
    ),
}
TOPIC_OF = {
    struct.__name__.removeprefix("Wire"): topic for topic, carried in MESSAGES.items() for struct in carried
}


def filled(value: Any, like: Any) -> Any:
    """`value` without the fields that stand there with their default only, which `like` leaves out."""
    if isinstance(value, dict) and isinstance(like, dict):
        return {
            name: filled(each, like.get(name))
            for name, each in value.items()
            if name in like or each not in (None, [])
        }
    if isinstance(value, list) and isinstance(like, list) and len(value) == len(like):
        return [filled(each, other) for each, other in zip(value, like, strict=True)]
    return value


def test_every_message_has_an_example() -> None:
    assert EXAMPLES.keys() == TOPIC_OF.keys()


@pytest.mark.parametrize("name", sorted(TOPIC_OF))
def test_an_example_is_valid_and_is_read_and_written_as_it_stands(name: str) -> None:
    example = json.loads(EXAMPLES[name])
    assert (
        example["type"] == name or TOPIC_OF[name] == "job-events"
    )  # there `type` says what moved, and where to
    schema = document()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(example, {**schema, "oneOf": [{"$ref": f"#/$defs/{TOPIC_OF[name]}"}]})
    decode, encode = READERS[TOPIC_OF[name]]
    decoded = decode(EXAMPLES[name].encode())
    assert decoded.faults == ()
    written = json.loads(encode(decoded.message))
    jsonschema.validate(written, schema)
    assert filled(written, example) == filled(example, written)


@pytest.mark.parametrize("topic", sorted(MESSAGES))
def test_every_topic_is_on_the_page(topic: str) -> None:
    assert f"`{topic}" in PAGE


def test_the_schema_refuses_what_the_code_refuses() -> None:
    schema = document()
    for body in (
        b'{"v":2,"type":"Nudge","part":0}',
        b'{"type":"Nudge","part":0}',
        b'{"v":1,"type":"Nudge"}',
        b'{"v":1,"type":"Nudge","part":"0"}',
        b'{"v":1,"type":"Reports","worker":"w","incarnation":"i","items":[{"run":1}]}',
    ):
        assert wire.decode_to_engine(body).faults
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(body), schema)
