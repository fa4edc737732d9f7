"""A Kafka with TLS, passwords and access rights: what is refused at the start says what to do, and a right that is lost
later fails what it concerns and nothing else (faults 30)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from headrace.engine.broker.kafka import publisher, topics
from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.lab import Lab
from headrace.lab.kafka import Kafka
from headrace.lab.server import Launch, Ports, Say
from tests.contracts.brokers import PARTS, PATIENCE, QUEUES, KafkaHouse, ask, gather, reports, told

TOPIC, LITERAL, WRITE, DENY = 2, 3, 4, 2  # numbers of Kafka's protocol


class GuardedKafka(Kafka):
    """Beside its open listener, where everybody is a super user: TLS, and passwords with and without TLS."""

    port_names = ("main", "controller", "tls", "password", "both")  # type: ignore[assignment]

    def prepare(self, ports: Ports, say: Say) -> Launch:
        self.folder.mkdir(parents=True, exist_ok=True)
        made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(
            ["openssl", *made.split(), "-keyout", self.key, "-out", self.cert],
            check=True,
            capture_output=True,
        )
        launch = super().prepare(ports, say)
        path = self.folder / "server.properties"
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        own = {"tls": "SSL", "password": "SASL_PLAINTEXT", "both": "SASL_SSL"}
        places = [f"{name.upper()}://127.0.0.1:{ports[name]}" for name in own]
        lines["listeners"] = ",".join([lines["listeners"], *places])
        lines["advertised.listeners"] = ",".join([lines["advertised.listeners"], *places])
        lines["listener.security.protocol.map"] += "," + ",".join(
            f"{name.upper()}:{kind}" for name, kind in own.items()
        )
        lines["inter.broker.listener.name"] = "PLAINTEXT"
        lines["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        lines["allow.everyone.if.no.acl.found"] = "true"
        lines["super.users"] = "User:ANONYMOUS"
        lines["sasl.enabled.mechanisms"] = "PLAIN"
        for name in ("password", "both"):
            lines[f"listener.name.{name}.plain.sasl.jaas.config"] = (
                'org.apache.kafka.common.security.plain.PlainLoginModule required user_me="secret";'
            )
        lines["ssl.keystore.type"] = "PEM"
        for name, file in (("key", self.key), ("certificate.chain", self.cert)):
            lines[f"ssl.keystore.{name}"] = file.read_text().strip().replace("\n", "\\n")
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return launch

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def cert(self) -> Path:
        return self.folder / "cert.pem"


@dataclasses.dataclass(frozen=True)
class Guarded:
    """The server, and how to reach each of its doors."""

    open: KafkaSettings
    tls: KafkaSettings
    password: KafkaSettings
    both: KafkaSettings


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with tempfile.TemporaryDirectory(prefix="headrace-guarded-") as folder:
        lab = Lab(Path(folder), durable=False)
        server = GuardedKafka(lab.folder / "kafka", durable=False)
        lab.servers["kafka"] = server
        try:
            lab.up(["kafka"])
            ports = lab.ports("kafka")

            def door(name: str) -> KafkaSettings:
                return KafkaSettings((f"127.0.0.1:{ports[name]}",), prefix="guarded.")

            def entered(name: str) -> KafkaSettings:
                return dataclasses.replace(door(name), mechanism="PLAIN", user="me", password="secret")

            yield Guarded(
                door("main"),
                dataclasses.replace(door("tls"), security="SSL", ca=str(server.cert)),
                dataclasses.replace(entered("password"), security="SASL_PLAINTEXT"),
                dataclasses.replace(entered("both"), security="SASL_SSL", ca=str(server.cert)),
            )
        finally:
            lab.down(["kafka"], delete=True)


@pytest.fixture
async def admin(guarded: Guarded) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=list(guarded.open.bootstrap))
    await client.start()
    yield client
    await client.close()


@contextlib.asynccontextmanager
async def denied(admin: AIOKafkaAdminClient, topic: str) -> AsyncIterator[None]:
    """Inside, user `me` may not write there."""
    right = (TOPIC, topic, LITERAL, "User:me", "*", WRITE, DENY)
    response = await admin._send_to_controller(CreateAclsRequest(*right))
    assert response.creation_responses[0][0] == 0, response
    yield
    await admin._send_to_controller(DeleteAclsRequest(*right))


@pytest.mark.parametrize("door", ["tls", "password", "both"])
async def test_messages_travel_through_every_door(guarded: Guarded, door: str) -> None:
    house = await KafkaHouse(getattr(guarded, door)).prepare()
    engine, worker = await house.engine(), await house.worker("w")
    engine.send("default", worker.inbox, ask(1))
    assert [each.message for each in await told(worker, 1)] == [ask(1)]
    await house.close()


REFUSALS = [
    ("password", {"password": "wrong"}, 'refused the password of user "me".*HEADRACE_KAFKA_PASSWORD'),
    ("both", {"password": "wrong"}, 'refused the password of user "me"'),
    ("both", {"mechanism": "SCRAM-SHA-512"}, "does not offer SCRAM-SHA-512.*HEADRACE_KAFKA_MECHANISM"),
    ("both", {"ca": None}, "certificate that is not trusted.*HEADRACE_KAFKA_CA"),
    ("tls", {"ca": None}, "certificate that is not trusted"),
    ("tls", {"security": "PLAINTEXT"}, "expects TLS.*HEADRACE_KAFKA_SECURITY"),
    ("both", {"security": "SASL_PLAINTEXT"}, "expects TLS"),
    ("open", {"security": "SSL"}, "does not speak TLS"),
    ("password", {"security": "SASL_SSL"}, "does not speak TLS"),
    ("password", {"security": "PLAINTEXT"}, "may expect a password"),
    ("open", {"security": "SASL_PLAINTEXT", "user": "me", "password": "x"}, "asks for no password"),
    ("password", {"password": None}, "HEADRACE_KAFKA_PASSWORD are missing"),
]


@pytest.mark.parametrize(("door", "change", "said"), REFUSALS)
async def test_what_does_not_fit_says_what_to_do(
    guarded: Guarded, door: str, change: dict[str, str], said: str
) -> None:
    settings = dataclasses.replace(getattr(guarded, door), **change)
    with pytest.raises(BrokerUnavailable, match=said) as refused:
        await topics.check(settings, PARTS)
    assert "secret" not in str(refused.value)
    assert "wrong" not in str(refused.value).replace("HEADRACE", "")


async def test_a_right_that_is_lost_fails_what_it_concerns_and_comes_back(
    guarded: Guarded, admin: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults 30"""
    monkeypatch.setattr(publisher, "BARRED_FOR", 0.0)
    house = await KafkaHouse(dataclasses.replace(guarded.both, prefix="rights.")).prepare()
    engine, worker = await house.engine(0), await house.worker("w", QUEUES)
    assert isinstance(engine, KafkaEngineSide)
    engine.send("gpu", worker.inbox, ask(1))
    assert [each.message for each in await told(worker, 1)] == [ask(1)]
    async with denied(admin, topics.task_topic(house.settings, "gpu")):
        number, refused = 2, list(engine.refused())
        async with asyncio.timeout(PATIENCE):
            while not refused:  # brokers hear of a right a moment later
                engine.send("gpu", worker.inbox, ask(number))
                engine.send("default", worker.inbox, ask(1000 + number))
                await asyncio.wait_for(engine.flush(), PATIENCE)
                refused += engine.refused()
                number += 1
        assert (refused[0].queue, refused[0].message) == ("gpu", ask(number - 1))
        assert "does not allow" in refused[0].why
        await worker.report(0, reports(1))
        await gather(engine, 1)
    heard: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while 5000 not in heard:
            engine.send("gpu", worker.inbox, ask(5000))
            await asyncio.wait_for(engine.flush(), PATIENCE)
            heard += [each.message.epoch for each in await worker.receive(0.1)]
    assert set(range(1002, 1000 + number)) <= set(heard), "what was allowed arrived"
    assert number - 1 not in heard
    await house.close()


async def test_a_report_that_is_not_allowed_raises(
    guarded: Guarded, admin: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "BARRED_FOR", 0.0)
    house = await KafkaHouse(dataclasses.replace(guarded.both, prefix="reports.")).prepare()
    worker = await house.worker("w")
    await worker.report(0, reports(0))

    said: list[str] = []

    async def until(allowed: bool) -> None:
        """Report until the broker has heard of the change."""
        while True:
            try:
                await asyncio.wait_for(worker.report(0, reports(1)), PATIENCE)
            except BrokerUnavailable as error:
                said.append(str(error))
                if not allowed:
                    return
            else:
                if allowed:
                    return

    async with denied(admin, house.settings.prefix + topics.STATUS):
        await asyncio.wait_for(until(allowed=False), PATIENCE)
    await asyncio.wait_for(until(allowed=True), PATIENCE)
    assert all("does not allow" in each for each in said)
    await house.close()
