"""Artifacts and logs: in folders, as embedded runs and single hosts use them, or in an object store that all share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headrace.engine.artifacts.files import FileArtifacts
from headrace.engine.artifacts.logs import FileLogs

if TYPE_CHECKING:
    from headrace.engine.ports.artifacts import Artifacts, LogReader


class UnusableStore(ValueError):
    """The artifact store cannot be used: which and why, in one message (exit status 3)."""


SCHEMES = ("s3", "gs", "az", "abfs", "abfss")

__all__ = ["FileArtifacts", "FileLogs", "UnusableStore", "open_artifacts", "open_logs"]


def open_artifacts(place: str | Path) -> Artifacts:
    """The artifact store at a folder, a `file:` URL, or the URL of an object store: `s3://bucket/prefix`, `gs://…`,
    `az://…`. Credentials, region and endpoint come from the environment, as for each provider's own tools.

    Engines, workers and the API of one installation have to name the same place. Raises UnusableStore.
    """
    text = str(place)
    parts = urlsplit(text)
    if "://" not in text:
        return FileArtifacts(place)
    if parts.scheme == "file":
        return FileArtifacts(parts.path)
    if parts.scheme not in SCHEMES:
        raise UnusableStore(
            f"{parts.scheme}: is no kind of artifact store; there are {', '.join(SCHEMES)}, and folders."
        )
    from obstore.store import from_url

    from headrace.engine.artifacts.objects import ObjectArtifacts

    named = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    try:
        return ObjectArtifacts(from_url(text), named)
    except Exception as error:  # each kind of store raises its own
        reason = str(error).partition("\n")[0]
        raise UnusableStore(f"{named} names no artifact store: {reason}") from error


def open_logs(store: object, folder: str | Path) -> LogReader:
    """What tasks wrote: in the store, where workers of a cluster send it to, and in this machine's folder, where
    embedded runs keep it."""
    from headrace.engine.ports.logs import LogChunks

    files = FileLogs(folder)
    if not isinstance(store, LogChunks):
        return files
    from headrace.engine.artifacts.chunks import EitherLogs, StoredLogs

    return EitherLogs(StoredLogs(store), files)
