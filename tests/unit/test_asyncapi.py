"""docs/asyncapi.yaml is an AsyncAPI document, says what the code does, and leaves no topic out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import yaml
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from headrace.engine.broker import asyncapi
from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.schema import MESSAGES
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.streams.messages import encode_lines
from headrace.engine.ports.messages import Log

FILE = Path(__file__).parent.parent.parent / "docs" / "asyncapi.yaml"


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return (
            [value["$ref"]] if "$ref" in value else [r for each in value.values() for r in references(each)]
        )
    return [r for each in value for r in references(each)] if isinstance(value, list) else []


def test_it_is_an_asyncapi_document_whose_references_lead_somewhere() -> None:
    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    ApplicationSchema.model_validate(found)
    for reference in references(found):
        at: Any = found
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]


def test_every_topic_is_described_with_all_its_messages() -> None:
    document = asyncapi.document()
    made = {topic.name for topic in topics.wanted(KafkaSettings(("x",)), 1, ["q"])}
    assert {name.replace("job-tasks.q", "job-tasks") for name in made} == document["channels"].keys()
    for topic, structs in MESSAGES.items():
        assert len(document["channels"][topic]["messages"]) == len(structs)


def test_a_message_fits_its_schema() -> None:
    import json

    document = asyncapi.document()
    body = json.loads(encode_lines([Log("r", "t", 0, 1, 1, 1.5, "stdout", "text")], 7))
    jsonschema.validate(body, {**document, "$ref": "#/components/schemas/LogLines"})
