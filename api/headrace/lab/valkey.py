"""Valkey in the lab: Redis's protocol, an append-only file where the lab is durable."""

from __future__ import annotations

from headrace.lab import probes, programs
from headrace.lab.ports import HOST
from headrace.lab.server import Launch, Ports, Say, Server


class Valkey(Server):
    """Headrace keeps nothing here that it could not lose."""

    name = "valkey"
    setting = "HEADRACE_REDIS_URL"
    quit_seconds = 10

    def prepare(self, ports: Ports, say: Say) -> Launch:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        settings = {
            "bind": HOST,
            "port": str(ports["main"]),
            "dir": str(data),
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "daemonize": "no",
        }
        flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return Launch((programs.valkey(), *flags), data)

    def ready(self, ports: Ports) -> bool:
        return probes.valkey(ports["main"])

    def address(self, ports: Ports) -> str:
        return f"redis://{HOST}:{ports['main']}/0"
