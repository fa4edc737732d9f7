"""The lab itself: which servers run, on which ports, and how to start and end them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.lab import programs
from headrace.lab.errors import LabError
from headrace.lab.kafka import Kafka
from headrace.lab.ports import HOST, choose
from headrace.lab.postgres import Postgres
from headrace.lab.processes import POLL_SECONDS, Process, environment, start
from headrace.lab.server import Say, Server
from headrace.lab.valkey import Valkey

KINDS: tuple[type[Server], ...] = (Kafka, Postgres, Valkey)  # the slowest first: the others start meanwhile
NAMES = tuple(kind.name for kind in KINDS)
_LOG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now. `pid` is None when it does not run; `address` is what `setting` is to be set to."""

    name: str
    pid: int | None
    port: int | None
    ready: bool
    setting: str
    address: str | None
    log: Path


@dataclass(slots=True)
class _Record:
    """What is kept of a server in its folder: the ports also when it has ended, so that it comes back on them."""

    ports: dict[str, int]
    process: Process | None


class Lab:
    """The servers of one folder. Every method may be called at any time, from several processes at once.

    `durable`: what is acknowledged survives a power cut; tests have no use for that. `say` is told what takes long.
    """

    def __init__(self, folder: Path, *, durable: bool = True, say: Say = lambda text: None) -> None:
        self.folder = Path(os.path.abspath(folder))
        self._say = say
        self.servers = {kind.name: kind(self.folder / kind.name, durable=durable) for kind in KINDS}

    def up(self, names: Iterable[str] = NAMES) -> list[ServerStatus]:
        """Start what does not run, wait until all of `names` answer, and return them.

        Raises LabError when a package is missing or a server does not come up; those that did stay.
        """
        chosen = self._chosen(names)
        programs.check(server.name for server in chosen)
        with self._alone():
            started = {server.name: self._ensure(server) for server in chosen}
            for server in chosen:
                self._await(server, started[server.name])
        return self.status(names)

    def down(self, names: Iterable[str] = NAMES, *, delete: bool = False) -> list[str]:
        """End them in order, and return the names of those that ran. `delete` removes their data too."""
        if not self.folder.is_dir():
            return []
        ended = []
        with self._alone():
            for server in self._chosen(names):
                record = self._record(server)
                if record is not None and record.process is not None and record.process.alive:
                    record.process.stop(server.quit_signal, server.quit_seconds)
                    ended.append(server.name)
                if record is not None:
                    self._keep(server, _Record(record.ports, None))
                if delete:
                    for place in server.places():
                        shutil.rmtree(place, ignore_errors=True)
        return ended

    def status(self, names: Iterable[str] = NAMES) -> list[ServerStatus]:
        """How they are now; nothing is changed."""
        return [self._status(server) for server in self._chosen(names)]

    def settings(self, names: Iterable[str] = NAMES) -> dict[str, str]:
        """The environment variables that make Headrace use those servers which answer."""
        return {
            one.setting: one.address for one in self.status(names) if one.ready and one.address is not None
        }

    def process(self, name: str) -> Process | None:
        """The running server's process."""
        record = self._record(self.servers[name])
        return (
            record.process
            if record is not None and record.process is not None and record.process.alive
            else None
        )

    def ports(self, name: str) -> dict[str, int]:
        """What it listens on, or did. Raises LabError when it was never started."""
        record = self._record(self.servers[name])
        if record is None:
            raise LabError(f"{name} has never been started in {self.folder}.")
        return record.ports

    def _chosen(self, names: Iterable[str]) -> list[Server]:
        wanted = set(names)
        if unknown := wanted - set(NAMES):
            raise LabError(f"The lab has no {', '.join(sorted(unknown))}.", f"There are: {', '.join(NAMES)}.")
        return [self.servers[name] for name in NAMES if name in wanted]

    def _ensure(self, server: Server) -> _Record:
        """Start it unless it runs. Returns what is now known of it."""
        record = self._record(server)
        if record is not None and record.process is not None and record.process.alive:
            return record
        server.folder.mkdir(parents=True, exist_ok=True)
        return self._start(server, record)

    def _start(self, server: Server, before: _Record | None) -> _Record:
        ports: dict[str, int] = {}
        for name in server.port_names:
            ports[name] = choose(before.ports.get(name) if before else None, set(ports.values()))
        launch = server.prepare(ports, self._say)
        log = self._log(server)
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
        process = start(
            launch.command,
            folder=launch.folder,
            log=log,
            environment={**environment(), **launch.environment},
            account=launch.account,
        )
        record = _Record(ports, process)
        self._keep(server, record)
        return record

    def _await(self, server: Server, record: _Record) -> None:
        """Return when it answers. One that ends meanwhile is started again, a few times.

        It may have lost its port to someone faster, or, after a crash, have met its predecessor's last children.
        """
        until = time.monotonic() + server.start_seconds
        attempts = 3
        while not server.ready(record.ports):
            if record.process is not None and not record.process.alive:
                attempts -= 1
                if attempts == 0:
                    raise LabError(
                        f"{server.name} ended while it started:\n{self._last_words(server)}",
                        self._hint(server),
                    )
                time.sleep(0.5)
                record = self._start(server, record)
            if time.monotonic() > until:
                raise LabError(
                    f"{server.name} has not answered on {HOST}:{record.ports['main']} for {server.start_seconds:.0f} "
                    f"seconds:\n{self._last_words(server)}",
                    self._hint(server),
                )
            time.sleep(POLL_SECONDS)
        server.complete(record.ports)

    def _status(self, server: Server) -> ServerStatus:
        record = self._record(server)
        process = record.process if record and record.process and record.process.alive else None
        return ServerStatus(
            name=server.name,
            pid=process.pid if process else None,
            port=record.ports["main"] if record else None,
            ready=process is not None and record is not None and server.ready(record.ports),
            setting=server.setting,
            address=server.address(record.ports) if record else None,
            log=self._log(server),
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time changes the lab."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lab.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LabError(
                f"{self.folder} cannot be used: {error.strerror or error}.", "Give another with --dir."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _record(self, server: Server) -> _Record | None:
        try:
            told: dict[str, Any] = json.loads((server.folder / "server.json").read_text(encoding="utf-8"))
            process = None if told["pid"] is None else Process(int(told["pid"]), str(told["born"]))
            return _Record({name: int(told["ports"][name]) for name in server.port_names}, process)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError(
                f"{server.folder / 'server.json'} cannot be read: {error}.",
                "End the server by hand if it runs, and remove that file.",
            ) from None

    @staticmethod
    def _keep(server: Server, record: _Record) -> None:
        process = record.process
        told = {
            "pid": process.pid if process else None,
            "born": process.born if process else None,
            "ports": record.ports,
        }
        fresh = server.folder / "server.json.new"
        fresh.write_text(json.dumps(told), encoding="utf-8")
        fresh.replace(server.folder / "server.json")

    @staticmethod
    def _log(server: Server) -> Path:
        return server.folder / "server.log"

    def _hint(self, server: Server) -> str:
        return f"All it wrote is in {self._log(server)}."

    def _last_words(self, server: Server) -> str:
        try:
            lines = self._log(server).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "  (it wrote nothing)"
        return "\n".join(f"  {line}" for line in lines[-8:]) or "  (it wrote nothing)"
