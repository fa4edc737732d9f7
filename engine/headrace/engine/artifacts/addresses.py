"""Where an artifact lies, by its content: the same in a folder and in an object store."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.artifacts import ArtifactMissing

LARGE = 1 << 18
"""Bytes above which hashing goes to a thread."""

_HEX = frozenset("0123456789abcdef")


async def digest_of(data: bytes) -> str:
    """The SHA-256 in hexadecimal digits."""
    if len(data) > LARGE:
        return await asyncio.to_thread(lambda: sha256(data).hexdigest())
    return sha256(data).hexdigest()


def path_of(digest: str) -> str:
    return f"sha256/{digest[:2]}/{digest}"


def checked_path(artifact: Artifact) -> str:
    """Made from the digest, never taken from outside. Raises ArtifactMissing for what is no digest."""
    digest = artifact.digest
    if len(digest) != 64 or not _HEX.issuperset(digest):
        raise ArtifactMissing(f"{digest!r} is no SHA-256 digest.")
    return path_of(digest)


async def check(artifact: Artifact, data: bytes) -> None:
    """Raises ArtifactMissing when these are not the artifact's bytes."""
    if await digest_of(data) != artifact.digest:
        raise ArtifactMissing(f"Artifact {artifact.digest[:12]}… is damaged: its SHA-256 differs.")
