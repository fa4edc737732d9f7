"""PostgreSQL in the lab: initdb, durable settings, and a user of its own where we are root."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from pathlib import Path

from headrace.lab import probes, programs
from headrace.lab.errors import LabError
from headrace.lab.ports import HOST
from headrace.lab.processes import Account, Process, environment, run
from headrace.lab.server import Launch, Ports, Say, Server

DATABASE = "headrace"
USER = "postgres"
_ELSEWHERE = Path("/var/lib/headrace-lab")


class Postgres(Server):
    """PostgreSQL refuses to run as root, so root's server runs as nobody, on programs and data which that user can reach.

    Where the lab's folder is closed to others, as a home folder of root's is, the data lie in /var/lib/headrace-lab.
    """

    name = "postgres"
    setting = "HEADRACE_DATABASE_URL"
    quit_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    def prepare(self, ports: Ports, say: Say) -> Launch:
        programs_folder, account, place = self._programs(), self._account(), self._place()
        data = place / "data"
        if not (data / "PG_VERSION").is_file():
            self._initialise(programs_folder, data, account)
        _forget_the_dead(data / "postmaster.pid")
        settings = {
            "listen_addresses": HOST,
            "port": str(ports["main"]),
            "unix_socket_directories": "",  # a socket's path must be short, and a folder's may be long
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on",  # also without fsync: what was acknowledged survives a kill of the server
            "full_page_writes": "on" if self.durable else "off",
            "max_connections": "200",
            "shared_buffers": "128MB" if self.durable else "64MB",
            "log_line_prefix": "%m [%p] ",
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Launch((programs_folder / "postgres", "-D", data, *flags), place, account)

    def ready(self, ports: Ports) -> bool:
        return probes.postgres(ports["main"])

    def address(self, ports: Ports) -> str:
        return self.url(ports, DATABASE)

    def url(self, ports: Ports, database: str) -> str:
        """Of any database on it."""
        return f"postgresql://{USER}@{HOST}:{ports['main']}/{database}"

    def complete(self, ports: Ports) -> None:
        if self.query(ports, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") != "1":
            self.query(ports, f"CREATE DATABASE {DATABASE}")

    def query(self, ports: Ports, command: str) -> str:
        """Run one command with psql, and return its rows as text. Raises LabError with what the server said."""
        flags = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        psql = self._programs() / "psql"
        return run([psql, *flags, "-c", command, self.url(ports, USER)], environment=environment()).strip()

    def places(self) -> list[Path]:
        return [self.folder, self._aside()]

    def _initialise(self, programs_folder: Path, data: Path, account: Account | None) -> None:
        """Make the data in a folder beside, so that an initdb which was cut off leaves nothing that looks whole."""
        fresh = data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(fresh, *account)
        command: list[str | Path] = [programs_folder / "initdb", "-D", fresh, "-U", USER, "-A", "trust"]
        command += ["--locale=C.UTF-8", "-E", "UTF8", *([] if self.durable else ["--no-sync"])]
        run(command, environment=environment(), account=account)
        fresh.rename(data)

    def _account(self) -> Account | None:
        if os.geteuid() != 0:
            return None
        try:
            return Account.of("nobody")
        except KeyError:
            raise LabError(
                "PostgreSQL refuses to run as root, and this system has no user called nobody.",
                "Run the lab as another user.",
            ) from None

    def _place(self) -> Path:
        """The folder that `data` lies in."""
        if os.geteuid() != 0 or _open_to_all(self.folder):
            return self.folder
        aside = self._aside()
        aside.mkdir(parents=True, exist_ok=True)
        for folder in (_ELSEWHERE, aside):
            folder.chmod(0o755)
        return aside

    def _aside(self) -> Path:
        return _ELSEWHERE / hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    def _programs(self) -> Path:
        """The programs' folder; a copy of it, when another user runs them who could not reach it."""
        found = programs.postgres()
        if os.geteuid() != 0 or _open_to_all(found):
            return found
        version = hashlib.sha256(f"{found}:{(found / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[
            :16
        ]
        copied = _ELSEWHERE / "programs" / version
        if not copied.exists():
            fresh = copied.with_name(f"{version}.{os.getpid()}")
            shutil.copytree(found.parent, fresh, symlinks=True)
            for folder in (_ELSEWHERE, copied.parent, fresh):
                folder.chmod(0o755)
            try:
                fresh.rename(copied)
            except OSError:  # another one was faster
                shutil.rmtree(fresh)
        return copied / "bin"


def _forget_the_dead(lock: Path) -> None:
    """Remove the lock file of a server that has ended.

    PostgreSQL does so itself, but takes a zombie for a living process, and where nothing reaps orphans, as in many
    containers, a killed server stays one.
    """
    try:
        pid = int(lock.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if Process.of(pid) is None:
        lock.unlink(missing_ok=True)


def _open_to_all(folder: Path) -> bool:
    """Whether every user can go there."""
    resolved = folder.resolve()
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (resolved, *resolved.parents))
