"""Reaching Kafka: the arguments of aiokafka's clients, and why a cluster cannot be used, in words."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from contextlib import suppress
from typing import Any

import aiokafka.conn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    ProducerClosed,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.wire import RECORD_BYTES
from headrace.engine.ports.broker import BrokerUnavailable

REQUEST_SECONDS = 10
"""What a single request may take, connecting included."""

FETCH_SECONDS = 0.5
"""How long the broker holds a fetch back when there is nothing to fetch. A seek waits for it in the worst case; an idle process pays
for every fetch, about a millisecond each."""

BATCH_BYTES = 512 * 1024
"""Records of one partition sent together: below any sane `max.message.bytes`."""

log = logging.getLogger(__name__)

# Its lines are about single attempts to connect; what they mean together is said here, once.
_aiokafka_log = logging.getLogger("aiokafka")
if _aiokafka_log.level == logging.NOTSET:
    _aiokafka_log.setLevel(logging.CRITICAL)


class Producer(AIOKafkaProducer):  # type: ignore[misc]
    """A producer that can be left at once; stopping waits for acknowledgements that may never come."""

    async def abandon(self) -> None:
        """Close its connections without sending anything more. What is not acknowledged fails with ProducerClosed. Whatever
        goes wrong with that, whoever waits for the next producer gets it."""
        try:
            await self._left()
        except Exception as error:
            log.debug("Kafka: a producer was not left in order (%s).", str(error) or type(error).__name__)

    async def _left(self) -> None:
        self._closed = True
        accumulator = self._message_accumulator
        left = [
            *accumulator._pending_batches,
            *(each for lane in accumulator._batches.values() for each in lane),
        ]
        # One that waits to be sent again is not among those under way, from where its own callback will take it.
        accumulator._pending_batches.update(left)
        accumulator.fail_all(ProducerClosed())
        for batch in left:
            # Its failure is seen here, or asyncio would tell of it when the batch is forgotten.
            if batch._drain_waiter.done() and not batch._drain_waiter.cancelled():
                batch._drain_waiter.exception()
        sender = self._sender.sender_task
        if sender is not None:
            sender.cancel()
        await self.client.close()
        if sender is not None:
            await asyncio.wait([sender], timeout=REQUEST_SECONDS)
            if sender.done() and not sender.cancelled():
                sender.exception()  # seen: otherwise it is reported as never retrieved

    def knows(self, topic: str) -> bool:
        """Whether sending there needs no question to the cluster."""
        return self.client.cluster.partitions_for_topic(topic) is not None

    async def partitions_of(self, topic: str) -> frozenset[int]:
        """Ask the cluster anew; none: it does not know the topic. Raises KafkaError when it does not answer."""
        await self.client.add_topic(topic)
        if not await self.client.force_metadata_update():
            raise KafkaConnectionError("no broker answers")
        return frozenset(self.client.cluster.partitions_for_topic(topic) or ())


class Connection:
    """Makes clients of one cluster. Raises BrokerUnavailable when the certificates of the settings cannot be read."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        if not settings.bootstrap:
            raise BrokerUnavailable("No Kafka is named. Set HEADRACE_KAFKA to host:port of its brokers.")
        self.settings = settings
        self.client_id = client_id
        self._secure = _security(settings)

    def producer(self) -> Producer:
        return Producer(
            **self._arguments(),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=RECORD_BYTES,
            linger_ms=0,
        )

    def consumer(self) -> AIOKafkaConsumer:
        """Without a group: partitions and offsets are told. An offset outside of the log is an error, not a jump."""
        return AIOKafkaConsumer(
            **self._arguments(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=int(FETCH_SECONDS * 1000),
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=2 * 1024 * 1024,
        )

    def admin(self) -> AIOKafkaAdminClient:
        return AIOKafkaAdminClient(**self._arguments())

    async def explain(self, error: BaseException) -> BrokerUnavailable:
        """Why the cluster could not be used: tries each bootstrap server once, and says what the first one did."""
        said = str(error) or type(error).__name__
        try:
            return await self._explained(said)
        finally:
            await asyncio.sleep(
                0.1
            )  # aiokafka closes connections that failed in the background, over a few turns

    async def _explained(self, said: str) -> BrokerUnavailable:
        for host, port in _addresses(self.settings.bootstrap):
            refusal = await self._refusal(host, port)
            if refusal is not None:
                return BrokerUnavailable(f"Kafka at {host}:{port} {refusal}")
        return BrokerUnavailable(f"Kafka at {', '.join(self.settings.bootstrap)} cannot be used: {said}.")

    def _arguments(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.settings.bootstrap),
            "client_id": self.client_id,
            "request_timeout_ms": REQUEST_SECONDS * 1000,
            "metadata_max_age_ms": 30_000,
            **self._secure,
        }

    async def _refusal(self, host: str, port: int) -> str | None:
        """None: this server can be used."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS / 2):
                connection = await aiokafka.conn.create_conn(
                    host,
                    port,
                    client_id=self.client_id,
                    request_timeout_ms=REQUEST_SECONDS * 500,
                    **self._secure,
                )
                try:
                    await connection.send(MetadataRequest([]))
                finally:
                    await connection.close()
        except (AuthenticationFailedError, SaslAuthenticationFailed):
            return (
                f'refused the password of user "{self.settings.user}". '
                "Check HEADRACE_KAFKA_USER and HEADRACE_KAFKA_PASSWORD."
            )
        except UnsupportedSaslMechanismError:
            return f"does not offer {self.settings.mechanism}. Set HEADRACE_KAFKA_MECHANISM to what it does."
        except IllegalSaslStateError:
            return "asks for no password here. Set HEADRACE_KAFKA_SECURITY to PLAINTEXT or SSL."
        except ssl.SSLCertVerificationError as error:
            return (
                f"shows a certificate that is not trusted: {error.verify_message}. "
                "Set HEADRACE_KAFKA_CA to the PEM file of its authority."
            )
        except ssl.SSLError as error:
            return (
                f"does not speak TLS as asked for ({error.reason or error}). Check HEADRACE_KAFKA_SECURITY."
            )
        except (TimeoutError, OSError, KafkaError) as error:
            return await self._unreached(host, port, error)
        return None

    async def _unreached(self, host: str, port: int, error: BaseException) -> str:
        try:
            async with asyncio.timeout(REQUEST_SECONDS / 2):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
        except TimeoutError:
            return "does not answer. Check the address, the network and the firewall."
        except OSError as refused:
            return f"cannot be reached: {_reason(refused)}. Is it running? HEADRACE_KAFKA names its address."
        with_tls = await _speaks_tls(host, port)
        if self.settings.encrypted and not with_tls:
            return "does not speak TLS. Set HEADRACE_KAFKA_SECURITY to PLAINTEXT or SASL_PLAINTEXT."
        if with_tls and not self.settings.encrypted:
            return "expects TLS. Set HEADRACE_KAFKA_SECURITY to SSL or SASL_SSL."
        if not self.settings.with_password:
            return (
                "ends the connection: it may expect a password (HEADRACE_KAFKA_SECURITY=SASL_…), "
                "or be no Kafka."
            )
        return f"ends the connection: {str(error) or type(error).__name__}."


def _security(settings: KafkaSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"security_protocol": settings.security}
    if settings.encrypted:
        try:
            context = ssl.create_default_context(cafile=settings.ca)
            if settings.cert is not None:
                context.load_cert_chain(settings.cert, settings.cert_key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(
                str(each) for each in (settings.ca, settings.cert, settings.cert_key) if each is not None
            )
            raise BrokerUnavailable(
                f"The certificates for Kafka cannot be read ({files}): {_reason(error)}. "
                "HEADRACE_KAFKA_CA, _CERT and _CERT_KEY are PEM files."
            ) from None
        context.check_hostname = settings.check_hostname
        arguments["ssl_context"] = context
    if settings.with_password:
        if settings.user is None or settings.password is None:
            raise BrokerUnavailable(
                f"HEADRACE_KAFKA_SECURITY is {settings.security}: "
                "HEADRACE_KAFKA_USER and HEADRACE_KAFKA_PASSWORD are missing."
            )
        arguments["sasl_mechanism"] = settings.mechanism
        arguments["sasl_plain_username"] = settings.user
        arguments["sasl_plain_password"] = settings.password
    return arguments


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS / 2):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.close()
        return True
    return False


def _addresses(bootstrap: tuple[str, ...]) -> list[tuple[str, int]]:
    found = []
    for each in bootstrap:
        host, colon, port = each.rpartition(":")
        if not colon or not port.isdecimal():
            host, port = each, "9092"
        found.append((host.strip("[]"), int(port)))
    return found


def _reason(error: OSError) -> str:
    """In words, without the address that stands before it already."""
    if isinstance(error, socket.gaierror | ssl.SSLError) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)
