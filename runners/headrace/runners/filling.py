"""Fills the holes of a dispatch's inputs: secrets, which only workers may read, and values too large to travel."""

from __future__ import annotations

from typing import Any

from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.artifacts import ArtifactMissing, Artifacts
from headrace.engine.ports.messages import Dispatch
from headrace.runners.attempt import Outcome
from headrace.runners.redaction import Redactor
from headrace.runners.secrets import SecretNotFound, Secrets
from headrace.runners.values import NoJson, compact, decode_json, failure


async def fill(
    dispatch: Dispatch, secrets: Secrets, artifacts: Artifacts | None
) -> tuple[dict[str, Any], Redactor | None] | Outcome:
    """The inputs with every hole filled and a redactor for the secrets among them; an Outcome when one cannot be.

    The dispatch itself is left as it is: its inputs may be shared with the engine.
    """
    inputs: dict[str, Any] = dict(dispatch.inputs)
    copied: set[tuple[str | int, ...]] = set()
    used: dict[str, str] = {}
    try:
        for hole in dispatch.holes:
            parts = [await _part(part, secrets, artifacts, used) for part in hole.parts]
            value = parts[0] if len(parts) == 1 else "".join(compact(part) for part in parts)
            _put(inputs, tuple(hole.path), value, copied)
    except SecretNotFound as error:
        return failure("secret_not_found", str(error))
    except (ArtifactMissing, NoJson, OSError) as error:
        return failure("artifact_error", f"An input could not be read: {error}")
    return inputs, Redactor(used.values()) if used else None


async def _part(
    part: str | dict[str, Any], secrets: Secrets, artifacts: Artifacts | None, used: dict[str, str]
) -> Any:
    if isinstance(part, str):
        return part
    if "secret" in part:
        name = part["secret"]
        if name not in used:
            used[name] = await secrets.get(name)
        return used[name]
    if artifacts is None:
        raise ArtifactMissing("this worker has no artifact store.")
    return decode_json(await artifacts.get(Artifact(part["artifact"], part["digest"], part["size"])))


def _put(
    inputs: dict[str, Any], path: tuple[str | int, ...], value: Any, copied: set[tuple[str | int, ...]]
) -> None:
    """Set one spot, copying each list and map on the way to it once."""
    at: Any = inputs
    for depth, step in enumerate(path[:-1], 1):
        if path[:depth] not in copied:
            at[step] = at[step].copy()
            copied.add(path[:depth])
        at = at[step]
    at[path[-1]] = value
