"""Where a worker finds the secrets that templates name: its environment, a folder of files, or a provider."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Protocol

PREFIX = "HEADRACE_SECRET_"
SETTINGS = {"FILE", "PREVIOUS", "PREVIOUS_FILE"}
"""What a variable of ours is called behind the prefix (HEADRACE_SECRET_FILE, ...): what logins to the API are signed with is no
secret of a task."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
LARGEST = 1 << 20
_taken: dict[str, str] = {}


class SecretNotFound(Exception):
    """No source has a secret of that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f'There is no secret "{name}" on this worker: set {PREFIX}{name.upper()}, or put a file of that name '
            "into its secrets folder."
        )


class SecretSource(Protocol):
    """One place to look."""

    async def get(self, name: str) -> str | None:
        """The value, or None when this source does not have it."""


class EnvironmentSecrets:
    """`HEADRACE_SECRET_<NAME>`, name in upper case. Making one takes these variables out of `environ`, so that no task
    finds them there; they are kept for the life of the process."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        values: dict[str, str] = {}
        source = os.environ if environ is None else environ
        ours = {PREFIX + name for name in SETTINGS}
        found = [name for name in source if name.upper().startswith(PREFIX) and name.upper() not in ours]
        for variable in found:
            values[variable[len(PREFIX) :].upper()] = source.pop(variable)
        if environ is None:
            _taken.update(values)
            values = _taken
        self._values = values

    async def get(self, name: str) -> str | None:
        return self._values.get(name.upper())

    def values(self) -> list[str]:
        """Every value there is."""
        return list(self._values.values())


class FolderSecrets:
    """A file per secret, as mounted by Docker and Kubernetes; one line break at its end is not part of the value."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    async def get(self, name: str) -> str | None:
        return await asyncio.to_thread(self._read, name) if _NAME.fullmatch(name) else None

    def values(self) -> list[str]:
        """Every value that can be read now."""
        try:
            names = os.listdir(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = (self._read(name) for name in sorted(names) if _NAME.fullmatch(name))
        return [value for value in found if value is not None]

    def _read(self, name: str) -> str | None:
        try:
            # a mounted secret is a link to another folder: links are followed, the name cannot leave this one
            with open(self._folder / name, encoding="utf-8", newline="") as file:
                text = file.read(LARGEST)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return text.removesuffix("\n").removesuffix("\r")


class Secrets:
    """The sources of one worker, asked in order."""

    def __init__(self, sources: Sequence[SecretSource]) -> None:
        self._sources = tuple(sources)

    @classmethod
    def usual(cls, folder: str | Path | None = None, *more: SecretSource) -> Secrets:
        """The process's environment, then the folder, then what else is given."""
        sources: list[SecretSource] = [EnvironmentSecrets()]
        if folder is not None:
            sources.append(FolderSecrets(folder))
        return cls([*sources, *more])

    async def get(self, name: str) -> str:
        """Raises SecretNotFound."""
        for source in self._sources:
            value = await source.get(name)
            if value is not None:
                return value
        raise SecretNotFound(name)

    async def values(self) -> tuple[str, ...]:
        """Every value of this environment and folder, for whoever must not let one out. What a provider holds is not listed."""
        listed = [
            await asyncio.to_thread(source.values)
            for source in self._sources
            if isinstance(source, EnvironmentSecrets | FolderSecrets)
        ]
        return tuple(value for values in listed for value in values if value)


def task_environment() -> dict[str, str]:
    """What a task's process may see of this process's environment: no setting and no secret of ours."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("HEADRACE_")}
