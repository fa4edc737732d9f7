"""The JSON Schema of every message, made from the structs that read and write them: docs/messages.schema.json."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from headrace.engine.broker.kafka.shapes import WireDispatches, WireReports
from headrace.engine.broker.streams.messages import DeadLetter, LogLines, UnreadableMessage
from headrace.engine.ports.announcing import CloudEvent
from headrace.engine.ports.messages import VERSION, Abort, Alive, Ask, Beat, Drain, Hello, Lines, Nudge
from headrace.engine.ports.requests import RunRequest

MESSAGES: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "job-tasks": (WireDispatches, Abort, Ask, Drain, Hello),
    "job-status": (WireReports, Alive, Nudge),
    "job-workers": (Beat, Lines),
    "job-requests": (RunRequest,),
    "job-logs": (LogLines,),
    "job-dlq": (DeadLetter, UnreadableMessage),
    "job-events": (CloudEvent,),
}
"""What each topic carries."""


def document() -> dict[str, Any]:
    """One schema whose `$defs` hold a definition of each message, of what they are made of, and of each topic."""
    structs = [struct for carried in MESSAGES.values() for struct in carried]
    _, definitions = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    named = {_name(name): _renamed(definition) for name, definition in definitions.items()}
    for struct in structs:
        if struct.__struct_config__.tag is not None:
            _envelope(named[_name(struct.__name__)])
    topics = {
        topic: {
            "title": topic,
            "oneOf": [{"$ref": f"#/$defs/{_name(struct.__name__)}"} for struct in carried],
        }
        for topic, carried in MESSAGES.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headrace's messages",
        "oneOf": [{"$ref": f"#/$defs/{topic}"} for topic in topics],
        "$defs": {**topics, **dict(sorted(named.items()))},
    }


def text() -> str:
    """The document as it is kept in a file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _envelope(definition: dict[str, Any]) -> None:
    """Every message begins with its version and its type."""
    definition["properties"] = {"v": {"const": VERSION}, **definition["properties"]}
    definition["required"] = [
        "v",
        "type",
        *(name for name in definition.get("required", ()) if name != "type"),
    ]


def _name(struct: str) -> str:
    return struct.removeprefix("Wire")


def _renamed(definition: dict[str, Any]) -> dict[str, Any]:
    """Without the names that the structs have among themselves."""
    renamed: dict[str, Any] = json.loads(
        json.dumps(definition).replace("#/$defs/Wire", "#/$defs/").replace('"title": "Wire', '"title": "')
    )
    if "description" in renamed:
        renamed["description"] = " ".join(renamed["description"].split())
    return renamed
