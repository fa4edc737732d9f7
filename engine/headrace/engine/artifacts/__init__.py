"""Artifacts and logs in folders: what embedded runs and single hosts use."""

from __future__ import annotations

from headrace.engine.artifacts.files import FileArtifacts
from headrace.engine.artifacts.logs import FileLogs

__all__ = ["FileArtifacts", "FileLogs"]
