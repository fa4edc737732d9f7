"""All topics as an AsyncAPI 3.0 document, made from the structs that read and write their messages: docs/asyncapi.yaml.

FastStream could describe what it reads itself, but the hot topics bypass it, and it knows payloads as pydantic models; here
every message has the one schema that docs/messages.schema.json has.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from headrace.engine.broker.kafka import schema
from headrace.engine.ports.messages import VERSION


class _Channel(NamedTuple):
    about: str
    partitions: str
    key: str
    receives: str | None = None  # what an engine does with what it reads there
    sends: str | None = None
    group: str | None = None


_CHANNELS = {
    "job-requests": _Channel(
        "Anyone may ask for a run here; each message becomes one run, or a dead letter that says why not.",
        "as many as job-status",
        "anything",
        receives="Answer requests: create runs.",
        group="headrace-requests",
    ),
    "job-tasks": _Channel(
        "What the workers of a queue are told.",
        "inboxes: crc32(worker id) mod their number is a worker's",
        "the worker's id",
        sends="Dispatch attempts, abort them, ask after them.",
    ),
    "job-status": _Channel(
        "What workers say about attempts.",
        "one for each part: crc32(run id) mod their number is a run's",
        "the sender's id",
        receives="Take reports; their effect and the offset are committed together.",
        sends="Nudge the owner of a part.",
    ),
    "job-workers": _Channel(
        "Who is there and what waits; every engine reads all of it.",
        "1",
        "the sender's id",
        receives="Know the workers, and what the other engines have waiting.",
        sends="Tell the other engines what waits here.",
    ),
    "job-logs": _Channel(
        "What attempts write.",
        "as many as job-status; one attempt's lines lie in one",
        "the attempt",
        receives="Keep log lines.",
        group="headrace-logs",
    ),
    "job-dlq": _Channel(
        "What failed for good, and messages that nobody could read or carry out. At least once; `id` tells repetitions.",
        "as many as job-status",
        "the run's id, or the topic that the message was in",
        sends="Tell of dead letters, after they were stored.",
    ),
    "job-events": _Channel(
        "What happens to runs and their task runs, for others to react to, where engines have HEADRACE_EVENTS. One CloudEvent a "
        "record; at least once, in order for each run; `id` tells repetitions.",
        "one for each part, as job-status",
        "the run's id",
        sends="Tell of moves, after they were stored.",
    ),
}

_SENDS = {"job-status": ("Nudge",), "job-workers": ("Lines",)}
"""Where an engine does not send all that a topic carries."""


def document() -> dict[str, Any]:
    """The document, as seen by an engine: it receives what others send."""
    definitions = _definitions()
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic, channel in _CHANNELS.items():
        carried = [struct.__name__.removeprefix("Wire") for struct in schema.MESSAGES[topic]]
        channels[topic] = _channel(topic, channel, carried)
        for name in carried:
            messages[name] = {
                "name": name,
                "contentType": "application/cloudevents+json" if name == "CloudEvent" else "application/json",
                "payload": {"$ref": f"#/components/schemas/{name}"},
            }
        if channel.receives is not None:
            operations[f"{topic}.receive"] = _operation(
                "receive", topic, channel.receives, carried, channel.group
            )
        if channel.sends is not None:
            sent = _SENDS.get(topic, carried)
            operations[f"{topic}.send"] = _operation("send", topic, channel.sends, sent, None)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headrace on Kafka",
            "version": str(VERSION),
            "description": "The topics of a Headrace cluster as its engines see them. docs/messages.md tells how the "
            "messages play together. The version is that of the messages.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": definitions},
    }


def text() -> str:
    """The document as it is kept in a file."""
    import yaml

    head = "# Made from the code by `python docs/generate.py`; do not edit.\n"
    body: str = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    return head + body


def _definitions() -> dict[str, Any]:
    """The schemas of messages and of what they are made of, without those of topics."""
    found = schema.document()["$defs"]
    kept = {name: definition for name, definition in found.items() if name not in schema.MESSAGES}
    made: dict[str, Any] = json.loads(json.dumps(kept).replace("#/$defs/", "#/components/schemas/"))
    return made


def _channel(topic: str, channel: _Channel, carried: list[str]) -> dict[str, Any]:
    parameters = {"prefix": {"default": "", "description": "HEADRACE_KAFKA_PREFIX"}}
    address = "{prefix}" + topic
    if topic == "job-tasks":
        parameters["queue"] = {"default": "default", "description": "The queue's name"}
        address += ".{queue}"
    return {
        "address": address,
        "title": topic,
        "description": f"{channel.about} Partitions: {channel.partitions}. Key: {channel.key}.",
        "parameters": parameters,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in carried},
    }


def _operation(
    action: str, topic: str, about: str, carried: tuple[str, ...] | list[str], group: str | None
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": about,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in carried],
    }
    if group is not None:
        group_id = {"type": "string", "description": f"The prefix, and {group}."}
        operation["bindings"] = {"kafka": {"groupId": group_id, "bindingVersion": "0.5.0"}}
    return operation
