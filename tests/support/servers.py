"""Real servers for tests: Kafka, PostgreSQL and Valkey, started when a test first asks for one.

`lab` is shared by the whole session, by all of its pytest-xdist workers together, and ended with it; tests keep apart by
databases and topic prefixes of their own. `breakable_lab` belongs to one module, whose tests may kill, pause and restart
its servers; each test finds them whole. HEADRACE_TEST_LAB names the folder of a lab that stays up between sessions, which saves the seconds that
Kafka takes to start; `breakable_lab` never uses it. A server that cannot be had fails the test.

A conftest that wants them says `from tests.support.servers import breakable_lab, lab`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from headrace.engine import store
from headrace.lab import Lab
from headrace.lab.postgres import Postgres
from headrace.lab.processes import Process

_SCHEMA = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(store.__path__[0]).rglob("*.py")))
)
TEMPLATE = f"headrace_template_{_SCHEMA.hexdigest()[:12]}_{date.today():%Y%m%d}"
"""A database with the tables of this source and the partitions of today, which new ones are copied from."""
STANDING = "HEADRACE_TEST_LAB"
_PREFIX = "headrace-lab-"
_LOCK = Path(tempfile.gettempdir()) / f"{_PREFIX}users-{os.geteuid()}.lock"


class Servers:
    """The servers of one lab; each is started when it is first asked for."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._up: set[str] = set()
        self._template = False

    @property
    def kafka(self) -> str:
        """The bootstrap server, host:port."""
        return self.address("kafka")

    @property
    def redis_url(self) -> str:
        """Valkey, database 0, which tests share: keep keys apart, or use `redis_database`."""
        return self.address("valkey")

    @property
    def postgres_url(self) -> str:
        """The database `postgres`, for statements about the server itself."""
        return self._url("postgres")

    def kafka_prefix(self) -> str:
        """A beginning of topic names that nobody else has."""
        return f"t{uuid.uuid4().hex[:12]}."

    def database_url(self, name: str = "test", *, schema: bool = True) -> str:
        """A fresh database: the name, and something that makes it unlike every other. With Headrace's tables, or empty."""
        self._start("postgres")
        if schema and not self._template:
            self.make_template()
        database = f"{name}_{uuid.uuid4().hex[:16]}"
        self.query(f'CREATE DATABASE "{database}" TEMPLATE "{TEMPLATE if schema else "template1"}"')
        return self._url(database)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.query(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def query(self, command: str) -> str:
        """One SQL statement on the database `postgres`, as its superuser; rows as text."""
        self._start("postgres")
        return self._postgres.query(self._lab.ports("postgres"), command)

    def address(self, name: str) -> str:
        """What `name` (kafka, postgres, valkey) is reached by."""
        self._start(name)
        return self._lab.servers[name].address(self._lab.ports(name))

    def port(self, name: str) -> int:
        """Where `name` listens on 127.0.0.1; the same after a restart."""
        self._start(name)
        return self._lab.ports(name)["main"]

    def pid(self, name: str) -> int:
        """The process of `name` (of PostgreSQL, the one above all others)."""
        self._start(name)
        process = self._lab.process(name)
        assert process is not None, f"{name} does not run"
        return process.pid

    def _start(self, name: str) -> None:
        if name not in self._up:
            self._lab.up([name])
            self._up.add(name)

    @property
    def _postgres(self) -> Postgres:
        server = self._lab.servers["postgres"]
        assert isinstance(server, Postgres)
        return server

    def _url(self, database: str) -> str:
        self._start("postgres")
        return self._postgres.url(self._lab.ports("postgres"), database)

    def make_template(self) -> None:
        """Of today's schema, once for all who share the lab.

        It is made under another name and then renamed, and from there on nobody may connect to it: PostgreSQL copies no
        database that anybody is connected to, and those who share the lab come here at their own times.
        """
        making = f"{TEMPLATE}_making"
        with _locked(self._lab.folder / "template.lock"):
            if not self.query(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
                self.query(f'DROP DATABASE IF EXISTS "{making}" WITH (FORCE)')
                self.query(f'CREATE DATABASE "{making}"')
                with ThreadPoolExecutor(1) as thread:  # the caller may be inside an event loop
                    thread.submit(lambda: asyncio.run(store.upgrade(self._url(making)))).result()
                self.query(f'ALTER DATABASE "{making}" ALLOW_CONNECTIONS false')
                self.query(f'ALTER DATABASE "{making}" RENAME TO "{TEMPLATE}"')
        self._template = True


class BreakableServers(Servers):
    """Servers that a test may treat badly; the data survive all of it."""

    def kill(self, name: str) -> None:
        """`kill -9`, of all its processes. It stays dead until `restart`."""
        for process in self._family(name):
            process.kill()

    def stop(self, name: str) -> None:
        """End it in order. It stays down until `restart`."""
        self._start(name)
        self._lab.down([name])

    def restart(self, name: str) -> None:
        """Start it again, on the same port and the same data; end it first if it runs. Returns when it answers."""
        before = self.port(name)
        self._lab.down([name])
        self._lab.up([name])
        assert self._lab.ports(name)["main"] == before, f"{name}'s port was taken meanwhile"

    def heal(self) -> None:
        """Start again what has been asked for and does not run."""
        self._lab.up(sorted(self._up))

    @contextlib.contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Inside, it is there and takes connections, but answers nothing (SIGSTOP)."""
        family = self._family(name)
        for process in family:
            process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in family:
                process.send(signal.SIGCONT)

    def _family(self, name: str) -> list[Process]:
        """Its process and all below it, which PostgreSQL has one of for each session; the parent first."""
        parent = self.pid(name)
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(pid)
        family = [parent]
        for pid in family:  # grows while it is walked
            family += children.get(pid, [])
        return [process for process in map(Process.of, family) if process is not None]


_SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)


@contextlib.contextmanager
def session_servers() -> Iterator[Servers]:
    """The servers that the whole session shares; whoever leaves last ends them."""
    if standing := os.environ.get(STANDING):
        yield Servers(Lab(Path(standing)))
        return
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{_SESSION}"
    with _in_use(folder):
        yield Servers(Lab(folder, durable=False))


@pytest.fixture(scope="session")
def lab() -> Iterator[Servers]:
    """The session's servers."""
    with session_servers() as servers:
        yield servers


@contextlib.contextmanager
def breakable_servers(arrange: Callable[[Lab], None] = lambda lab: None) -> Iterator[BreakableServers]:
    """Servers of one's own. `arrange` may change the lab before any of them is started."""
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{uuid.uuid4().hex}"
    with _in_use(folder):
        made = Lab(folder, durable=False)
        arrange(made)
        yield BreakableServers(made)


_BROKEN = pytest.StashKey[BreakableServers]()


@pytest.fixture
def breakable_lab(request: pytest.FixtureRequest) -> Iterator[BreakableServers]:
    """Servers that the tests of one module share, each of which finds them whole."""
    module = request.node.getparent(pytest.Module)
    if _BROKEN not in module.stash:
        stack = contextlib.ExitStack()
        module.stash[_BROKEN] = stack.enter_context(breakable_servers())
        module.addfinalizer(stack.close)
    servers = module.stash[_BROKEN]
    yield servers
    servers.heal()


_numbers = itertools.count()


@contextlib.contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Count ourselves among a folder's users; whoever leaves last ends its servers and removes it.

    What sessions that were killed have left behind is removed too.
    """
    me = Process.of(os.getpid())
    assert me is not None
    ticket = folder / f"user-{me.pid}-{next(_numbers)}"
    with _locked(_LOCK):
        for left in folder.parent.glob(f"{_PREFIX}*/"):
            if left != folder and left.stat().st_uid == os.geteuid() and not _users(left):
                _remove(left)
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        ticket.write_text(me.born)
    try:
        yield
    finally:
        with _locked(_LOCK):
            ticket.unlink()
            if not _users(folder):
                _remove(folder)


def _users(folder: Path) -> list[Path]:
    """The tickets of processes that live."""
    return [
        ticket
        for ticket in folder.glob("user-*")
        if Process(int(ticket.name.split("-")[1]), ticket.read_text()).alive
    ]


def _remove(folder: Path) -> None:
    lab = Lab(folder, durable=False)
    for name in lab.servers:
        if process := lab.process(name):
            process.kill()
    lab.down(delete=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
