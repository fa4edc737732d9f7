"""A cluster for chaos: servers behind proxies, and engines and workers that are treated badly and come back.

What is done to it is done by threads of its own, one for each engine, worker and server: nobody is killed twice at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from headrace.lab import Lab
from headrace.lab.kafka import Kafka
from headrace.lab.server import Launch, Ports, Say
from tests.chaos.script import ENGINES, SERVERS, WORKERS, Disturbance
from tests.support.deployment import Deployment, opened
from tests.support.members import READY, Member
from tests.support.proxy import Proxy
from tests.support.servers import BreakableServers, breakable_servers
from tests.support.waiting import PATIENCE

QUEUES = ("default", "other")
UNREACHABLE = 3
"""How a command ends that cannot reach what it needs when it starts (docs/cli.md)."""


class ProxiedKafka(Kafka):
    """Has a second listener that it advertises at a proxy's port: whoever comes through the proxy stays behind it."""

    port_names = (*Kafka.port_names, "behind")  # type: ignore[assignment]
    advertised = 0

    def prepare(self, ports: Ports, say: Say) -> Launch:
        launch = super().prepare(ports, say)
        file = self.folder / "server.properties"
        text = file.read_text(encoding="utf-8")
        for setting, port in (("listeners", ports["behind"]), ("advertised.listeners", self.advertised)):
            text = text.replace(f"\n{setting}=", f"\n{setting}=PROXIED://127.0.0.1:{port},")
        text = text.replace("protocol.map=", "protocol.map=PROXIED:PLAINTEXT,")
        text += "inter.broker.listener.name=PLAINTEXT\n"
        file.write_text(text, encoding="utf-8")
        return launch


class Place:
    """Servers and the proxies before them, for one world after the other."""

    def __init__(self, servers: BreakableServers, proxies: dict[str, Proxy]) -> None:
        self.servers = servers
        self.proxies = proxies

    def heal(self) -> None:
        """Every server runs and answers, every proxy hands everything on."""
        self.servers.heal()
        for proxy in self.proxies.values():
            proxy.heal()


@contextmanager
def place() -> Iterator[Place]:
    """Servers that nobody else has; they start here."""
    proxies = {name: Proxy() for name in SERVERS}

    def arrange(lab: Lab) -> None:
        kafka = ProxiedKafka(lab.folder / "kafka", durable=False)
        kafka.advertised = proxies["kafka"].port
        lab.servers["kafka"] = kafka
        listening.append(lab)

    listening: list[Lab] = []
    try:
        with breakable_servers(arrange) as servers:
            for name, proxy in proxies.items():
                proxy.target = servers.port(name)
            proxies["kafka"].target = listening[0].ports("kafka")["behind"]
            yield Place(servers, proxies)
    finally:
        for proxy in proxies.values():
            proxy.close()


class Cluster:
    """Two engines and two workers that reach every server through a proxy. `done` counts what was done to whom."""

    def __init__(self, place: Place, deployment: Deployment) -> None:
        self.place = place
        self.deployment = deployment
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self._locks = {
            name: threading.Lock()
            for name in [*SERVERS, *map("e{}".format, range(ENGINES)), *map("w{}".format, range(WORKERS))]
        }
        self._gone: set[int] = set()

    def start(self) -> None:
        """Everybody has a place."""
        for member in [self._start("engine", name) for name in self._named("e")] + [
            self._start("worker", name) for name in self._named("w")
        ]:
            member.ready()

    def disturb(self, what: Disturbance) -> None:
        """Do it, and undo it when its time is over. Failures are kept for the end."""
        member = what.whom in ("engine", "worker")
        name = f"{what.whom[0]}{what.number}" if member else what.whom
        with self._locks[name]:
            try:
                self._to_member(what, name) if member else self._to_server(what)
                self.done[f"{what.how} {what.whom}"] += 1
            except Exception as problem:  # told with everything else
                self.failures.append(f"{what.words}: {problem!r}")

    def _to_member(self, what: Disturbance, name: str) -> None:
        member = self.deployment.member(name)
        if what.how == "stop":
            with member.stopped():
                time.sleep(what.seconds)  # as long as it was drawn
            return
        self._gone.add(member.pid)
        if what.how == "kill":
            member.kill()
        else:
            starting = READY[member.kind].format(name) not in member.said
            status = member.terminate()
            if status and not starting:
                self.failures.append(f"{name} ended with {status} when it was told to end: {member.said}")
        time.sleep(what.seconds)
        self._start(what.whom, name)

    def _to_server(self, what: Disturbance) -> None:
        servers, proxy = self.place.servers, self.place.proxies[what.whom]
        match what.how:
            case "kill":
                servers.kill(what.whom)
                time.sleep(what.seconds)
                servers.restart(what.whom)
            case "restart":
                servers.restart(what.whom)
            case "stop":
                with servers.paused(what.whom):
                    time.sleep(what.seconds)
            case "flush":
                redis.Redis.from_url(servers.redis_url).flushall()
            case "drop":
                proxy.drop(0.6)
            case "refuse":
                proxy.refuse()
            case "hold":
                proxy.hold()
            case "slow":
                proxy.slow(0.02)
        if what.how in ("refuse", "hold", "slow"):
            time.sleep(what.seconds)
            proxy.heal()

    def look_after(self) -> None:
        """Start again who could not reach a server when it started, as whoever runs it would; who ended otherwise is a failure."""
        for name in [*self._named("e"), *self._named("w")]:
            lock = self._locks[name]
            if not lock.acquire(blocking=False):
                continue
            try:
                member = self.deployment.member(name)
                if member.lives or member.pid in self._gone:
                    continue
                self._gone.add(member.pid)
                if member.process.returncode != UNREACHABLE or READY[member.kind].format(name) in member.said:
                    self.failures.append(
                        f"{name} ended by itself with {member.process.returncode}: {member.said[-2000:]}"
                    )
                self.done[f"refused {member.kind}"] += 1
                self._start(member.kind, name)
            finally:
                lock.release()

    def end(self) -> list[str]:
        """Tell everybody who has a place to end; what did not go well."""
        live = [member.ready() for member in self.deployment.members if member.lives]
        for member in live:
            member.signal(signal.SIGTERM)
        return [
            f"{member.name} ended with {status} when it was told to end: {member.said[-2000:]}"
            for member in live
            if (status := member.process.wait(PATIENCE))
        ]

    def _named(self, letter: str) -> list[str]:
        return [name for name in self._locks if name.startswith(letter) and name[1:].isdigit()]

    def _start(self, kind: str, name: str) -> Member:
        if kind == "engine":
            return self.deployment.engine(name)
        return self.deployment.worker(name, "--queues", ",".join(QUEUES), slots=8)


@contextmanager
def cluster(place: Place, folder: Path, settings: dict[str, str]) -> Iterator[Cluster]:
    """A database and topics of its own, and no process yet."""
    with ExitStack() as stack:
        deployment = stack.enter_context(
            opened(place.servers, folder, inboxes=2, queues=QUEUES, settings=settings)
        )
        ports = {name: proxy.port for name, proxy in place.proxies.items()}
        head, _, database = deployment.url.rpartition("/")
        deployment.environment |= {
            "PYTHONPATH": os.environ.get(
                "PYTHONPATH", ""
            ),  # members run the code that chaos was started with
            "HEADRACE_KAFKA": f"127.0.0.1:{ports['kafka']}",
            "HEADRACE_DATABASE_URL": f"{head.rpartition(':')[0]}:{ports['postgres']}/{database}",
            "HEADRACE_REDIS_URL": f"redis://127.0.0.1:{ports['valkey']}/0",
        }
        stack.callback(place.heal)
        yield Cluster(place, deployment)
