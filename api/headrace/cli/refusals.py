"""What both stations say no with about workflows, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.cli.failure import Stop
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
