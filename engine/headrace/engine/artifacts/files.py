"""Artifacts in a local folder, named by their SHA-256: the same bytes are stored once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.engine.artifacts.addresses import check, checked_path, digest_of, path_of
from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.artifacts import ArtifactMissing

if TYPE_CHECKING:
    from obstore.store import LocalStore


class FileArtifacts:
    """Implements ports.artifacts.Artifacts. Several processes may use one folder.

    A `put` returns once the bytes and their name are on the disk (fsync), because a report that names them counts
    from then on.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._store: LocalStore | None = None

    async def put(self, data: bytes) -> Artifact:
        digest = await digest_of(data)
        path = path_of(digest)
        file = self._folder / path
        if not await asyncio.to_thread(_has_size, file, len(data)):
            from obstore import put_async

            # written under another name and renamed: nobody ever sees half of it
            await put_async(self._opened(), path, data, use_multipart=False)
        # also when it was there: its writer may not have come this far
        await asyncio.to_thread(self._sync, file)
        return Artifact(path, digest, len(data))

    async def get(self, artifact: Artifact) -> bytes:
        from obstore import get_async

        path = checked_path(artifact)
        try:
            found = await get_async(self._opened(), path)
            data = bytes(await found.bytes_async())
        except FileNotFoundError:
            raise ArtifactMissing(
                f"There is no artifact {artifact.digest[:12]}… in {self._folder}."
            ) from None
        await check(artifact, data)
        return data

    def _opened(self) -> LocalStore:
        if self._store is None:
            from obstore.store import LocalStore

            self._folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(str(self._folder.resolve()))
        return self._store

    def _sync(self, file: Path) -> None:
        for path in (file, file.parent, file.parent.parent, self._folder):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _has_size(file: Path, size: int) -> bool:
    try:
        return file.stat().st_size == size
    except FileNotFoundError:
        return False
