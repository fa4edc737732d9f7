"""Artifacts in an object store (S3, Google Cloud Storage, Azure), named by their SHA-256 as in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine.artifacts.addresses import check, checked_path, digest_of, path_of
from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.artifacts import ArtifactMissing

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectArtifacts:
    """Implements ports.artifacts.Artifacts. Any number of processes may share one store.

    Args:
        store: where objects go; its own prefix keeps them apart from others'.
        named: how messages call the place; without passwords.
    """

    def __init__(self, store: ObjectStore, named: str) -> None:
        self._store = store
        self._named = named

    async def put(self, data: bytes) -> Artifact:
        """Raises OSError: the store cannot be reached, or refuses."""
        from obstore import put_async

        digest = await digest_of(data)
        path = path_of(digest)
        if not await self._holds(path, len(data)):
            try:
                await put_async(self._store, path, data)
            except Exception as error:  # each kind of store raises its own
                raise OSError(f"{self._named} does not take an artifact: {_first_line(error)}") from error
        return Artifact(path, digest, len(data))

    async def get(self, artifact: Artifact) -> bytes:
        """Raises ArtifactMissing; OSError when the store cannot be reached, or refuses."""
        from obstore import get_async

        path = checked_path(artifact)
        try:
            found = await get_async(self._store, path)
            data = bytes(await found.bytes_async())
        except FileNotFoundError:
            raise ArtifactMissing(f"There is no artifact {artifact.digest[:12]}… in {self._named}.") from None
        except Exception as error:  # each kind of store raises its own
            raise OSError(f"{self._named} does not give an artifact: {_first_line(error)}") from error
        await check(artifact, data)
        return data

    async def _holds(self, path: str, size: int) -> bool:
        from obstore import head_async

        try:
            found = await head_async(self._store, path)
        except Exception:  # not there, or not to be asked: writing it again does no harm
            return False
        return found["size"] == size


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
