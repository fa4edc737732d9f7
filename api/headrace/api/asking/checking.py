"""The text of a workflow that a stranger sends, checked: what `headrace validate` says of it, and what registering it would
keep. It is read as data; nothing of it is imported or run.

As a program (`python -m headrace.api.asking.checking`) it does the same to what comes on stdin, within limits of its own
process, so that a text which takes for ever can be ended without ending the API.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

import msgspec

from headrace.engine.core.problems import InvalidWorkflow, Problem

TOLD = 500
"""Problems that one answer tells, and warnings."""
MEMORY = 1 << 30
"""Bytes of address space beyond what Python itself takes."""
SECONDS = 20
"""Of a processor."""


class Version(msgspec.Struct, frozen=True):
    """What registering keeps."""

    name: str
    plan: str
    document: bytes
    description: str | None
    tags: tuple[str, ...]
    triggers: tuple[dict[str, Any], ...]


class Checked(msgspec.Struct, frozen=True):
    """`report` is the object of `validate --json`; `version` is None when there is a problem."""

    report: dict[str, Any]
    version: Version | None


def check(data: bytes, json: bool, pools: Collection[str] = ()) -> Checked:
    """Read, plan, and find out what this release cannot run. `pools`: those that have a size. Takes as long as it takes."""
    from headrace.dsl.report import validation_report
    from headrace.dsl.source import not_supported, plan, read_text
    from headrace.engine.core.canonical import canonical_json, to_document

    try:
        source = read_text(data, json=json)
        planned = plan(source, pools)
        refused: list[Problem] = [
            problem.at(source.locate(problem.path, problem.task))
            for problem in not_supported(source.workflow)
        ]
        refused += (warning for warning in planned.warnings if warning.code == "unknown_pool")
        if refused:
            raise InvalidWorkflow(refused, [one for one in planned.warnings if one not in refused])
    except InvalidWorkflow as invalid:
        return Checked(validation_report(invalid.problems[:TOLD], invalid.warnings[:TOLD]), None)
    made = planned.plan
    workflow = made.workflow
    version = Version(
        workflow.name,
        made.hash,
        canonical_json(to_document(workflow)),
        workflow.description,
        workflow.tags,
        tuple(dict(trigger) for trigger in workflow.triggers),
    )
    return Checked(validation_report((), planned.warnings[:TOLD], [made]), version)


def main() -> None:
    """`yaml` or `json` is the first argument, pools that have a size are the others; the text is stdin, the answer stdout."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    checked = check(sys.stdin.buffer.read(), sys.argv[1] == "json", sys.argv[2:])
    sys.stdout.buffer.write(msgspec.msgpack.encode(checked))


if __name__ == "__main__":
    main()
