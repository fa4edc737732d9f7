"""Consumer groups on the topics beside the hot path, and publishing there: FastStream, told to lose nothing.

A handler is given a batch of records as they are and returns when all of them are dealt with; only then are their offsets
committed. So nothing is decoded before the handler sees it, for one record that cannot be read, or one header of it,
would cost the whole batch (`_parsed`, `_whole`); and a handler that fails stops the reading rather than let the next
batch's commit pass over what it has left.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from aiokafka import ConsumerRecord
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from headrace.engine.broker.kafka.connection import Connection
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.wire import RECORD_BYTES
from headrace.engine.ports.broker import BrokerUnavailable

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
"""Seconds between tries to reach Kafka."""

FETCH_MILLISECONDS = 2_000
"""How long the broker holds a fetch back while there is nothing: an idle engine costs little."""

STOP_SECONDS = 5.0

JSON = {"content-type": "application/json"}

Records: TypeAlias = Sequence[ConsumerRecord]
Take: TypeAlias = Callable[[Records], Awaitable[None]]

_logger = logging.getLogger(__name__)


class Reading(NamedTuple):
    """A topic, named whole, that one of a group reads. `linger`: seconds that an idle reader waits between looks."""

    topic: str
    group: str
    take: Take
    most: int = 500  # records at once
    linger: float = 0.2


class Streams:
    """What one engine reads and publishes beside the hot path.

    Args:
        settings: where Kafka is.
        name: the client's, in Kafka's own logs.
        readings: what is read, from the oldest record on that the group has not committed.
    """

    def __init__(self, settings: KafkaSettings, name: str, readings: Sequence[Reading] = ()) -> None:
        self._reach = _Reach(settings, f"headrace-streams-{name}")
        self._readings = readings
        self._broker: KafkaBroker | None = None
        self._there = asyncio.Event()
        self._taking: set[asyncio.Future[None]] = set()
        self._failed: asyncio.Future[None] | None = None
        self._over = False  # what is still fetched is not looked at, and never committed

    async def run(self) -> None:
        """Read until cancelled; what has not been dealt with by then is read again by another. Waits for Kafka as long as
        it takes. Raises what a handler raised."""
        self._failed = asyncio.get_running_loop().create_future()
        try:
            await self._start()
            await asyncio.shield(self._failed)
        finally:
            self._over = True
            self._there.clear()
            self._failed.cancel()
            for taking in self._taking:
                taking.cancel()
            # FastStream does not wait for what it cancels: a store that is closed next would leave a connection behind.
            await asyncio.gather(*self._taking, return_exceptions=True)
            if self._broker is not None:
                await _stop(self._broker)

    async def publish(self, topic: str, body: bytes, key: bytes) -> None:
        """Returns when the broker has it. Raises BrokerUnavailable; waits while Kafka has not been reached yet."""
        await self._there.wait()
        broker = self._broker
        assert broker is not None
        try:
            await broker.publish(body, topic, key=key, headers=JSON)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"{topic} does not take it: {error or type(error).__name__}") from error

    async def _start(self) -> None:
        wait = FIRST_WAIT
        while True:
            broker = self._made()
            try:
                await self._reach.knock()
                await broker.start()
                break
            except (KafkaError, OSError, TimeoutError) as error:
                await _stop(broker)
                _logger.warning("%s The topics beside the hot path wait.", await self._reach.explain(error))
            except BaseException:
                await _stop(broker)
                raise
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        self._broker = broker
        self._there.set()

    def _made(self) -> KafkaBroker:
        broker = KafkaBroker(
            list(self._reach.settings.bootstrap),
            client_id=self._reach.client_id,
            security=self._reach.security(),
            allow_auto_create_topics=False,
            acks="all",
            enable_idempotence=True,
            max_request_size=RECORD_BYTES,
            metadata_max_age_ms=30_000,
            graceful_timeout=STOP_SECONDS,
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            logger=None,
        )
        for reading in self._readings:
            subscriber = broker.subscriber(
                reading.topic,
                group_id=reading.group,
                batch=True,
                max_records=reading.most,
                batch_timeout_ms=int(reading.linger * 1000),
                fetch_max_wait_ms=FETCH_MILLISECONDS,
                fetch_max_bytes=8 * 1024 * 1024,
                auto_offset_reset="earliest",
                ack_policy=AckPolicy.MANUAL,
                parser=_parsed,
                decoder=_whole,
                no_reply=True,  # a header of a stranger's message names no topic for us to write to
            )
            subscriber(partial(self._handle, reading))
        return broker

    async def _handle(self, reading: Reading, message: KafkaMessage) -> None:
        if self._over:
            return
        records: Any = message.raw_message
        taking = asyncio.ensure_future(reading.take(records))
        self._taking.add(taking)
        try:
            await taking
        except asyncio.CancelledError:
            self._over = True
            return
        except BaseException as fault:
            self._over = True
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(fault)
            return
        finally:
            self._taking.discard(taking)
        try:
            await message.ack()
        except (CommitFailedError, IllegalStateError):
            _logger.info("%s changed hands; its last batch is read again", reading.topic)
        except KafkaError as error:
            _logger.warning("how far %s was read could not be noted: %s", reading.topic, error)


class _Reach(Connection):
    """The connection's settings in FastStream's words."""

    async def knock(self) -> None:
        """Raises KafkaError, OSError when nobody answers. FastStream leaves its producer open when it finds that out itself."""
        admin = self.admin()
        try:
            await admin.start()
        finally:
            await admin.close()

    def security(self) -> BaseSecurity:
        settings, arguments = self.settings, self._arguments()
        context: ssl.SSLContext | None = arguments.get("ssl_context")
        if not settings.with_password:
            return BaseSecurity(context, settings.encrypted)
        kind = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        made: BaseSecurity = kind[settings.mechanism](
            settings.user or "", settings.password or "", context, settings.encrypted
        )
        return made


async def _parsed(message: Any, original: Callable[[Any], Awaitable[KafkaMessage]]) -> KafkaMessage:
    """FastStream's own parser, but headers may be any bytes."""
    try:
        return await original(message)
    except UnicodeDecodeError:
        for record in message:
            object.__setattr__(
                record, "headers", tuple((name, _text(value)) for name, value in record.headers)
            )
        return await original(message)


async def _whole(message: KafkaMessage) -> KafkaMessage:
    """Nothing is decoded: the handler gets the message."""
    return message


def _text(value: bytes | None) -> bytes:
    return (value or b"").decode("utf-8", "replace").encode()


async def _stop(broker: KafkaBroker) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        await broker.stop()
