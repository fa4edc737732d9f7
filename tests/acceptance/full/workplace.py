"""Worker processes on a real Kafka, and an office that stands in for the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from zlib import crc32

from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.messages import Beat
from tests.support import warm
from tests.support.office import Office

PARTS = 2


class Employed:
    """One `headrace worker` process."""

    def __init__(self, name: str, process: subprocess.Popen[str], errors: Path) -> None:
        self.name = name
        self.process = process
        self._errors = errors

    @property
    def said(self) -> str:
        return self._errors.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float = 60.0) -> int:
        return await asyncio.to_thread(self.process.wait, within)


class Workplace:
    """Args:
    folder: of this test; `app` in it is the workers' app dir.
    settings: a prefix of its own, on a cluster.
    """

    def __init__(self, folder: Path, settings: KafkaSettings, office: Office) -> None:
        self.app = folder / "app"
        self.app.mkdir(exist_ok=True)
        self.folder = folder
        self.office = office
        self._settings = settings
        self._employed: list[Employed] = []

    def write(self, name: str, text: str) -> Path:
        """A file of the app dir."""
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    async def hire(self, name: str, *arguments: str, **settings: str) -> tuple[Employed, Beat]:
        """Start a worker; returns with its first beat. The office writes to the last one hired."""
        known = {beat.incarnation for beat in self.office.beats}
        errors = self.folder / f"{name}.{len(self._employed)}.err"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        environment |= {
            "HEADRACE_KAFKA": ",".join(self._settings.bootstrap),
            "HEADRACE_KAFKA_PREFIX": self._settings.prefix,
            "HEADRACE_KAFKA_INBOXES": str(self._settings.inboxes),
            "HEADRACE_HOME": str(self.folder / "home"),
            **settings,
        }
        command = [
            sys.executable,
            "-m",
            "headrace.cli.main",
            "worker",
            "--id",
            name,
            "--app-dir",
            str(self.app),
        ]
        with errors.open("w") as stream:
            process = await asyncio.to_thread(
                partial(
                    warm.Popen[str],
                    [*command, *arguments],
                    env=environment,
                    cwd=self.folder,
                    stderr=stream,
                    text=True,
                )
            )
        employed = Employed(name, process, errors)
        self._employed.append(employed)
        try:
            while True:
                beat = await self.office.beat(of=name)
                if beat.incarnation not in known:
                    break
        except TimeoutError:
            raise AssertionError(f"no beat of {name}: {employed.said}") from None
        self.office.to = name
        self.office.inbox = beat.inbox
        return employed, beat

    def close(self) -> None:
        for employed in self._employed:
            if employed.process.poll() is None:
                employed.process.kill()
            employed.process.wait()


@asynccontextmanager
async def opened(folder: Path, kafka: str, prefix: str, inboxes: int = 4) -> AsyncIterator[Workplace]:
    settings = KafkaSettings((kafka,), prefix=prefix, inboxes=inboxes)
    await topics.ensure(settings, PARTS, ["default"])
    engine = KafkaEngineSide(settings, "office")
    await engine.start()
    for part in range(PARTS):
        engine.seek(part, 0)
    place = Workplace(folder, settings, Office(engine))
    try:
        yield place
    finally:
        place.close()
        await engine.stop()


def names_sharing_an_inbox(inboxes: int) -> Iterator[str]:
    """Names of workers that listen on inbox 0."""
    number = 0
    while True:
        number += 1
        if crc32(f"w{number}".encode()) % inboxes == 0:
            yield f"w{number}"


@contextmanager
def stopped(employed: Employed) -> Iterator[None]:
    """Inside, the worker's process stands still."""
    employed.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        employed.signal(signal.SIGCONT)
