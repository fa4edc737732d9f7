"""How a command ends when it cannot do what was asked: one message on stderr, and an exit status that programs rely on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Exit statuses. They are part of the interface: docs/cli.md."""

    OK = 0
    RUN_FAILED = 1  # the run failed or was cancelled
    USAGE = 2  # usage, an invalid workflow or parameter
    SERVICE = 3  # a service cannot be used: unreachable, refused, old schema
    TIMEOUT = 4  # --timeout passed
    FAULT = 70  # our own fault
    INTERRUPTED = 130  # Ctrl-C


class Stop(Exception):
    """Ends the command with a message: what is wrong and, in `hint`, what to do."""

    def __init__(self, message: str, *, hint: str | None = None, status: Status = Status.USAGE) -> None:
        self.message, self.hint, self.status = message, hint, status
        super().__init__(message)


def report(error: BaseException, arguments: Sequence[str]) -> Status:
    """Say on stderr what happened, and return the exit status for it."""
    if isinstance(error, Stop):
        print(f"headrace: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.status
    if isinstance(error, KeyboardInterrupt):
        return Status.INTERRUPTED
    if (known := _from_the_engine(error)) is not None:
        return known
    import traceback

    traceback.print_exception(error, file=sys.stderr)
    print(
        f"headrace: a fault of Headrace, not of your workflow: {type(error).__name__}: {error}\n"
        f"  Please report it with the lines above and the command: headrace {' '.join(arguments)}",
        file=sys.stderr,
    )
    return Status.FAULT


def _from_the_engine(error: BaseException) -> Status | None:
    """What the engine raises for people, told by type. Imported only now: a command that succeeds never pays for it."""
    from headrace.engine.core.problems import InvalidWorkflow
    from headrace.engine.ports.store import KeyTaken, RowDamaged, StoreUnavailable

    if _is(error, "headrace.api.client.errors", "ApiError"):
        return _from_a_server(error)
    if isinstance(error, InvalidWorkflow):
        from headrace.cli.problems import show_problems

        show_problems(error.problems, error.warnings)
        return Status.USAGE
    if isinstance(error, StoreUnavailable | RowDamaged):
        print(f"headrace: {error}", file=sys.stderr)
        return Status.SERVICE
    if (
        isinstance(error, KeyTaken)
        or _is(error, "headrace.engine.shell.commands", "Refused")
        or _is(error, "headrace.engine.ports.cache", "CacheMisconfigured")
    ):
        print(f"headrace: {error}", file=sys.stderr)
        return Status.USAGE
    if _is(error, "headrace.engine.shell.patient", "PartLost"):
        print(
            "headrace: another process has taken this database over, so this one stopped; its runs are whole.\n"
            "  Say: headrace run --resume, when that process has ended.",
            file=sys.stderr,
        )
        return Status.SERVICE
    if (
        _is(error, "headrace.runners.embedded", "OwnerSilent")
        or _is(error, "headrace.runners.watching", "NobodyDecides")
        or _is(error, "headrace.runners.outside", "NobodyAnswers")
        or _is(error, "headrace.engine.shell.plans", "PlanMissing")
        or _is(error, "headrace.engine.artifacts", "UnusableStore")
        or _is(error, "headrace.engine.ports.broker", "BrokerUnavailable")
    ):
        print(f"headrace: {error}", file=sys.stderr)
        return Status.SERVICE
    return None


def _from_a_server(error: Any) -> Status:
    """What a server said no with, or that it said nothing."""
    status, hint = Status.SERVICE, None
    match error.status:
        case None:
            hint = "--server and HEADRACE_SERVER name the server; without them this machine is asked."
        case 401:
            hint = "Set HEADRACE_TOKEN to an API token: headrace tokens create makes one on the server's machine."
        case 403:
            hint = "Ask with another token, or have an admin give this one's owner the role: HEADRACE_TOKEN."
        case 400 | 404 | 409 | 413 | 422:
            status = Status.USAGE
        case _ if error.request_id:
            hint = f"The server's log tells more, under {error.request_id}."
    print(f"headrace: {error.detail}", file=sys.stderr)
    for problem in error.problems:
        if problem.get("field"):
            print(f"  {problem['field']}: {problem.get('message')}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
    return status


def _is(error: BaseException, module: str, name: str) -> bool:
    """Whether it is of that class; when the module was never imported, it cannot be."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))
