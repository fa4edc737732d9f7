"""Reading partitions from told offsets on, without a group: the offsets are somebody else's truth.

It survives restarts of brokers, and takes a new consumer when nothing was heard for long. An offset outside of the log is
answered by going on at the log's nearest end, and told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from headrace.engine.broker.kafka.connection import FETCH_SECONDS, Connection

FRESH_SECONDS = 1.5
"""How long ago the broker must have answered for a partition to count as read to its end."""

SILENT_SECONDS = 30.0
"""Without any answer for so long, a new consumer is made."""

WORRY_SECONDS = 5.0
"""A partition that was not answered for so long is told of in the log, once."""

AGAIN_SECONDS = 0.2
"""Between two tries after an error."""

log = logging.getLogger(__name__)


class Bounds(NamedTuple):
    """Where a partition's log begins, and the offset that its next record will get."""

    first: int
    end: int


class Jump(NamedTuple):
    """The log does not reach to `wanted`; reading goes on at `found`."""

    partition: TopicPartition
    wanted: int
    found: int


class Reader:
    """Gives records to `deliver`, ascending by offset within a partition. All methods are called on one event loop.

    `deliver` answers whether there is room for more; if not, nothing more is fetched until `more` is called. `jumped` is
    told of offsets outside of the log.
    """

    def __init__(
        self,
        connection: Connection,
        deliver: Callable[[TopicPartition, list[ConsumerRecord]], bool],
        jumped: Callable[[Jump], None],
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._jumped = jumped
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._room = asyncio.Event()
        self._room.set()
        self._some = asyncio.Event()  # something is to be read
        self._task: asyncio.Task[None] | None = None
        self._assigning: asyncio.Handle | None = (
            None  # the consumer does not have the partitions of `_positions` yet
        )
        self._ticked = 0.0
        self._awake_since = 0
        self._answered = 0.0
        self._stamp = 0
        self._since = 0.0
        self._worried = False

    async def start(self) -> None:
        """Raises BrokerUnavailable."""
        consumer = self._connection.consumer()
        try:
            await consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await _stop(consumer)
            raise await self._connection.explain(error) from error
        self._consumer = consumer
        self._ticked = self._answered = time.monotonic()
        self._task = asyncio.create_task(self._run(), name="kafka-reader")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._assigning is not None:
            self._assigning.cancel()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer)

    def more(self) -> None:
        """There is room again."""
        self._room.set()

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too, or anew, from these offsets on."""
        known = offsets.keys() <= self._positions.keys()
        self._positions.update(offsets)
        if self._consumer is None:
            return
        if known and self._assigning is None:
            for partition, offset in offsets.items():
                self._consumer.seek(partition, offset)
        else:
            self._assign_soon()

    def leave(self, partition: TopicPartition) -> None:
        """Read this partition no longer."""
        if self._positions.pop(partition, None) is not None and self._consumer is not None:
            self._assign_soon()

    async def bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Where the logs begin and end now. Raises BrokerUnavailable."""
        partitions = list(partitions)
        assert self._consumer is not None
        try:
            first = await self._consumer.beginning_offsets(partitions)
            end = await self._consumer.end_offsets(partitions)
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._connection.explain(error) from error
        return {each: Bounds(first[each], end[each]) for each in partitions}

    async def appended_within(self, partition: TopicPartition, seconds: float) -> int:
        """The offset from which on everything was appended in the last `seconds` before the newest record, by the
        broker's clock alone. Raises BrokerUnavailable."""
        bounds = (await self.bounds([partition]))[partition]
        if bounds.first == bounds.end:
            return bounds.end
        assert self._consumer is not None
        try:
            self._consumer.assign([partition])
            self._consumer.seek(partition, bounds.end - 1)
            got = await self._consumer.getmany(timeout_ms=2000)
            records = got.get(partition)
            if not records:
                return bounds.end
            since = records[-1].timestamp - int(seconds * 1000)
            found = (await self._consumer.offsets_for_times({partition: since}))[partition]
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._connection.explain(error) from error
        return bounds.end if found is None else int(found.offset)

    def caught_up(self, partition: TopicPartition) -> bool:
        """Whether everything was delivered that the broker had a moment ago. False while it does not answer, and after
        this process itself was stopped, until the broker has been asked anew."""
        position, consumer = self._positions.get(partition), self._consumer
        if position is None or consumer is None or self._assigning is not None:
            return False
        if time.monotonic() - self._ticked > FRESH_SECONDS:
            return False
        try:
            end, stamp = consumer.highwater(partition), consumer.last_poll_timestamp(partition)
        except AssertionError:  # not assigned yet
            return False
        if end is None or stamp is None or position < end or stamp < self._awake_since:
            return False
        return bool(abs(time.time() * 1000 - stamp) < FRESH_SECONDS * 1000)

    # reading ---------------------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except OffsetOutOfRangeError as error:
                await self._mend(error.args[0])
            except Exception as error:  # whatever the client raises: reading must go on
                log.warning(
                    "Kafka: reading failed, and is tried again (%s).", str(error) or type(error).__name__
                )
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        while True:
            await self._room.wait()
            if not self._positions:
                self._some.clear()
                await self._some.wait()
            consumer = self._consumer
            assert consumer is not None
            got = await consumer.getmany(timeout_ms=int(FETCH_SECONDS * 1000))
            self._tick()
            if self._assigning is not None:  # what came belongs to an assignment that is over
                self._assign(consumer)
                continue
            for partition, records in got.items():
                position = self._positions.get(partition)
                if position is None:
                    continue
                self._positions[partition] = records[-1].offset + 1
                if not self._deliver(partition, records):
                    self._room.clear()
            if not got and self._silent(consumer):
                await self._anew()

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked > FRESH_SECONDS:
            # This process stood still: answers that lay in its sockets meanwhile say nothing about now.
            self._awake_since = int(time.time() * 1000) + 100
        self._ticked = now

    def _silent(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether the broker has said nothing for long, of any partition. One that stays silent alone is told of."""
        now, wall = time.monotonic(), time.time() * 1000
        try:
            stamps = {each: consumer.last_poll_timestamp(each) or 0 for each in self._positions}
        except AssertionError:  # not assigned yet
            return False
        newest = max(stamps.values(), default=0)
        if newest != self._stamp:
            self._stamp, self._answered = newest, now
        late = {
            each for each, stamp in stamps.items() if wall - (stamp or self._since) > WORRY_SECONDS * 1000
        }
        if late and not self._worried:
            named = ", ".join(sorted(f"{each.topic} [{each.partition}]" for each in late))
            log.warning("Kafka has not answered for %g s and more for %s.", WORRY_SECONDS, named)
        elif self._worried and not late:
            log.warning("Kafka answers again for all partitions that are read.")
        self._worried = bool(late)
        return now - self._answered > SILENT_SECONDS

    async def _anew(self) -> None:
        """Take a new consumer: the brokers that the old one knows may all have gone."""
        self._answered = time.monotonic()
        consumer = self._connection.consumer()
        try:
            await consumer.start()
        except (KafkaError, OSError, TimeoutError):
            await _stop(consumer)
            return
        old, self._consumer = self._consumer, consumer
        self._assign(consumer)
        if old is not None:
            await _stop(old)

    def _assign_soon(self) -> None:
        """Once for all partitions that come or go together: each time, all others are fetched anew."""
        if self._assigning is None:
            self._assigning = asyncio.get_running_loop().call_soon(self._assign_now)

    def _assign_now(self) -> None:
        if self._consumer is not None:
            self._assign(self._consumer)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """A new assignment drops what was fetched and not delivered; it is fetched again from the positions."""
        if self._assigning is not None:
            self._assigning.cancel()
            self._assigning = None
        self._since = time.time() * 1000
        consumer.assign(list(self._positions))
        for partition, offset in self._positions.items():
            consumer.seek(partition, offset)
        self._some.set()

    async def _mend(self, wanted: Mapping[TopicPartition, int]) -> None:
        consumer = self._consumer
        assert consumer is not None
        try:
            first = await consumer.beginning_offsets(list(wanted))
            end = await consumer.end_offsets(list(wanted))
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(AGAIN_SECONDS)
            return  # it is met again
        for partition, offset in wanted.items():
            if self._positions.get(partition) != offset:
                continue
            found = min(max(offset, first[partition]), end[partition])
            self.seek({partition: found})
            if found != offset:
                self._jumped(Jump(partition, offset, found))


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Whatever it raises: without a broker, aiokafka ends its own stop with the CancelledError of a fetch it cancelled,
    before it has closed its connections."""
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping], timeout=5.0)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    stopping.cancel()
    await consumer._client.close()
