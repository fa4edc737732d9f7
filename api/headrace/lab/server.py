"""What every server of the lab has in common: a folder, ports, a command, and a way to ask whether it is ready."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from headrace.lab.processes import Account

Say = Callable[[str], None]
Ports = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server: the command, the folder it works in, and as whom."""

    command: tuple[str | Path, ...]
    folder: Path
    account: Account | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Server(ABC):
    """One kind of server. `folder` is its own; `durable` says whether what it acknowledges survives a power cut."""

    name: ClassVar[str]
    setting: ClassVar[str]
    """The environment variable that tells Headrace where it is."""
    port_names: ClassVar[tuple[str, ...]] = ("main",)
    """What it listens on; clients use the first."""
    quit_signal: ClassVar[signal.Signals] = signal.SIGTERM
    quit_seconds: ClassVar[float] = 20
    """How long it may take to end in order; then it is killed."""
    start_seconds: ClassVar[float] = 60
    """How long it may take until it answers; recovering after a crash counts."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder, self.durable = folder, durable

    @abstractmethod
    def prepare(self, ports: Ports, say: Say) -> Launch:
        """Make its data when there are none, write its configuration. Raises LabError."""

    @abstractmethod
    def ready(self, ports: Ports) -> bool:
        """Whether a client would be served."""

    @abstractmethod
    def address(self, ports: Ports) -> str:
        """The value of `setting`."""

    def complete(self, ports: Ports) -> None:  # noqa: B027
        """What is done on the running server before it is handed out."""

    def places(self) -> list[Path]:
        """Every folder that its data lie in."""
        return [self.folder]
