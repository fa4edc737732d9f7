"""What both stations say no with about workflows and dead letters, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.api.problems import Problem
from headrace.cli.failure import Status, Stop
from headrace.engine.core.problems import did_you_mean


def no_workflow(name: str, known: set[str]) -> Stop:
    """There is no such workflow; the nearest name."""
    return Stop(
        f'no workflow "{name}" is registered.',
        hint=did_you_mean(name, known)
        or "headrace register FILE does it; headrace workflows list shows them.",
    )


def no_version(name: str, number: int, known: Sequence[int]) -> Stop:
    """There is no such version."""
    return Stop(f"{name} has no version {number}.", hint=f"It has {', '.join(map(str, known))}.")


def paused(name: str) -> Stop:
    """Whoever paused the workflow means it."""
    return Stop(
        f"workflow {name} is paused: nothing starts it.",
        hint=f"headrace workflows resume {name} lets it start.",
    )


def no_schedule(id: str, known: set[str]) -> Stop:
    """There is no such schedule; the nearest id."""
    return Stop(
        f'there is no schedule "{id}".',
        hint=did_you_mean(id, known) or "headrace schedules list shows them.",
    )


def no_backfill(number: int) -> Stop:
    """There is no such backfill."""
    return Stop(f"there is no backfill {number}.", hint="headrace backfills list shows them.")


def no_letter(number: int) -> Stop:
    """There is no such letter."""
    return Stop(f"there is no dead letter {number}.", hint="headrace dlq list --state all")


def none_fits() -> Stop:
    """Nothing open is meant."""
    return Stop("no open dead letter fits.", hint="headrace dlq group shows what there is.")


def not_taken(seconds: float) -> Stop:
    """The commands are kept, but no engine has read them."""
    return Stop(
        f"no engine took the command within {seconds:.0f} s.",
        hint="It stays in the inbox and takes effect when an engine reads it: headrace engine.",
        status=Status.SERVICE,
    )


def no_worker(worker: str) -> Stop:
    return Stop(f"no worker {worker} is heard.", hint="headrace workers list shows who is.")


def said(problem: Problem) -> Stop:
    """What the API would say no with."""
    return Stop(problem.detail)
