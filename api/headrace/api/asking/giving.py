"""Values that are given out: inputs, outputs and artifacts of the task runs of a run. No Litestar here."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.api.access.asking import Asker
from headrace.api.asking.finding import SHOWN
from headrace.api.asking.looking import Spot
from headrace.api.office import Office
from headrace.api.problems import Problem, missing
from headrace.api.shapes.tasks import ArtifactEntry, HoleEntry, TaskInputs
from headrace.api.showing.snapshots import Snapshot
from headrace.api.veiling import Veil
from headrace.engine.core.evaluation import Artifact, Secret
from headrace.engine.core.machine.attempts import constant_inputs
from headrace.engine.ports.artifacts import ArtifactMissing
from headrace.engine.shell.rows import artifact_of, filled_of

LARGEST = 64 * 1024 * 1024
"""Bytes of a value that one answer gives."""


async def inputs_of(office: Office, asker: Asker, snapshot: Snapshot, spot: Spot) -> TaskInputs:
    """What the task run was given. Raises Problem (404)."""
    row = snapshot.layout.row(*spot.key)
    stored = [] if row is None else await office.store.values([(row.run, row.generation, *spot.key)])
    if stored and stored[0].inputs is not None:
        filled = filled_of(stored[0].inputs)
    else:
        begun = row is not None and row.attempt > 0  # what is the same for every run is not stored
        known = constant_inputs((await snapshot.explaining()).board, spot.key.task) if begun else None
        if known is None:
            raise Problem(404, "no_inputs", f"{spot.view.written} has been given nothing yet.")
        filled = known
    veil = Veil(asker.role, office.secrets)
    return TaskInputs(
        value=veil.value(msgspec.json.encode(filled.value)),
        holes=[
            HoleEntry(path=list(hole.path), parts=[_part(part) for part in hole.parts])
            for hole in filled.holes
        ],
    )


def _part(part: str | Secret | Artifact) -> Any:
    if isinstance(part, Secret):
        return {"secret": part.name}
    if isinstance(part, Artifact):
        return {"artifact": part.digest, "size": part.size}
    return part


def artifacts_of(snapshot: Snapshot) -> list[ArtifactEntry]:
    """Every artifact that is an output of the run or of one of its task runs."""
    layout = snapshot.layout
    found = []
    for at in range(len(layout)):
        row = layout.row(layout.nodes[at], layout.paths[at])
        kept = None if row is None else artifact_of(row.artifact)
        if row is not None and kept is not None:
            found.append(_entry(kept, layout.view(at).written, row.generation))
    own = artifact_of(snapshot.run.artifact)
    if own is not None:
        found.append(_entry(own, None, snapshot.run.generation))
    return found


def _entry(kept: Artifact, task: str | None, generation: int) -> ArtifactEntry:
    return ArtifactEntry(name=kept.digest, size=kept.size, task=task, generation=generation)


def artifact_named(snapshot: Snapshot, name: str) -> Artifact:
    """The run's artifact of that SHA-256. Nothing is made of the name but a comparison. Raises Problem (404)."""
    layout = snapshot.layout
    wanted = name.encode()
    rows = (layout.row(node, path) for node, path in zip(layout.nodes, layout.paths, strict=True))
    columns = [row.artifact for row in rows if row is not None and row.artifact is not None]
    for column in (*columns, snapshot.run.artifact):
        if column is not None and wanted in column:
            kept = artifact_of(column)
            if kept is not None and kept.digest == name:
                return kept
    raise missing("artifact", name[:SHOWN])


async def given_out(office: Office, kept: Artifact) -> bytes:
    """Its bytes, checked against its digest. Raises Problem (422 when it is too large, 404 when it is not there)."""
    if kept.size > LARGEST:
        raise Problem(
            422,
            "output_too_large",
            f"The value has {kept.size:,} bytes; {LARGEST:,} are given out at most.",
            size=kept.size,
        )
    try:
        return await office.artifacts.get(kept)
    except ArtifactMissing as gone:
        raise Problem(404, "output_missing", f"The value is not where it was kept: {gone}") from None
