"""The gateway's Kafka clients and their settings. The numbers' reasons are in `docs/gateway.md`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from ebbtide.producing import SureProducer
from ebbtide.wire import Codec
from schemas.client_errors import is_fatal, is_moving
from schemas.errors import Halt
from schemas.fetching import BULK, CALM_WAIT_MS
from schemas.offsets import partition_ends
from schemas.topics import MAX_MESSAGE_BYTES
from streams.gateway.routing import Routes
from streams.gateway.spec import GatewaySpec

TRANSACTION_MS = 10_000
ANSWER_S = 30.0
_AGAIN_S = 0.1

T = TypeVar("T")


class GatewayFailed(Halt):
    """A Kafka client of the gateway cannot go on; nothing of its open transaction counts, a restart resumes."""


def halt(doing: str, error: KafkaError | KafkaException | BufferError) -> GatewayFailed:
    """Return the error that ends the process."""
    return GatewayFailed(f"gateway: {doing} failed: {error}; nothing of it counts, the next start does it again")


def _base(spec: GatewaySpec) -> dict[str, Any]:
    return {**spec.client, "bootstrap.servers": spec.bootstrap}


def group_of(spec: GatewaySpec) -> str:
    """Return the consumer group that all gateways of one prefix share."""
    return f"{spec.topics.prefix}.gateway"


def source_consumer(spec: GatewaySpec) -> Consumer:
    """Return the bulk consumer of the sources."""
    return Consumer(
        {
            **_base(spec),
            "group.id": group_of(spec),
            "client.id": spec.writer,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 1_000,
            "max.poll.interval.ms": 60_000,
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 32 << 10,
            **BULK,
            "max.partition.fetch.bytes": 2 << 20,
            "fetch.max.bytes": 16 << 20,
            "topic.metadata.refresh.interval.ms": 30_000,
        }
    )


def ledger_producer(spec: GatewaySpec) -> SureProducer:
    """Return the transactional producer, its predecessor under the same slot fenced off."""
    producer = SureProducer(
        {
            **_base(spec),
            "transactional.id": f"{group_of(spec)}.{spec.slot}",
            "client.id": spec.writer,
            "transaction.timeout.ms": TRANSACTION_MS,
            "delivery.timeout.ms": TRANSACTION_MS - 1_000,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "linger.ms": 2,
            "queue.buffering.max.messages": 0,  # a pack bounds them: each of its messages may become a dead letter
            "compression.type": "none",
        }
    )
    try:
        producer.init_transactions(ANSWER_S)
    except KafkaException as e:
        raise halt("fencing its predecessor", e) from None
    return producer


class RouteReader:
    """Follows the compacted `routes` topic; each gateway reads all of it."""

    def __init__(self, spec: GatewaySpec, codec: Codec, routes: Routes) -> None:
        self._codec, self._routes = codec, routes
        self._consumer = Consumer(
            {
                **_base(spec),
                "group.id": f"{group_of(spec)}.routes.{spec.slot}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": CALM_WAIT_MS,
            }
        )
        topic = spec.topics.routes
        try:
            found = self._consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
        except KafkaException as e:
            raise halt("reading the routes", e) from None
        if found.error is not None:
            raise halt("reading the routes", found.error)
        self._admin = AdminClient(_base(spec))
        self._places = [TopicPartition(topic, p, 0) for p in found.partitions]
        self._reached: dict[int, int] = {}
        self._behind: dict[int, int] = {}
        self._consumer.assign(self._places)
        self.catch_up()

    def catch_up(self) -> None:
        """Be behind, from now on, until all is known that was written up to now.

        Open transactions count: a commit returns before its markers are written, and a committed read ends before it
        until then. Raises GatewayFailed.
        """
        ends = log_ends(self._admin, self._places)
        self._behind = {p: end for (_, p), end in ends.items() if self._reached.get(p, 0) < end}

    def poll(self) -> bool:
        """Take in what has come; return whether all is known that was there at the start or the last `catch_up`."""
        for message in self._consumer.consume(1000, 0.2 if self._behind else 0.0):
            error = message.error()
            if error is None:
                value = message.value()
                if value is not None and self._codec.name_of(value) == "Route":
                    self._routes.learn(self._codec.decode(value)[1])
                self._reach(message, 1)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reach(message, 0)
            elif error.fatal() or not error.retriable():
                raise halt("reading the routes", error)
        return not self._behind

    def _reach(self, message: Message, more: int) -> None:
        partition, offset = cast(int, message.partition()), cast(int, message.offset()) + more
        self._reached[partition] = offset
        if offset >= self._behind.get(partition, 0):
            self._behind.pop(partition, None)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def log_ends(admin: AdminClient, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
    """Return the partitions' ends, open transactions included: what lies before them was there when asked."""
    places = [(p.topic, p.partition) for p in partitions]
    try:
        return _patiently(lambda: partition_ends(admin, places, ANSWER_S), is_moving, ANSWER_S)
    except KafkaException as e:
        raise halt("asking for the ends of its sources", e) from None


def seek(consumer: Consumer, place: TopicPartition, *, limit_s: float = ANSWER_S) -> None:
    """Go on reading an assigned partition at an offset. Raises KafkaException.

    The client refuses that until it reads the partition, which it does once it has asked for its committed offset
    itself. Where the transaction of one that was killed has yet to end, that may be after we were answered.
    """
    _patiently(lambda: consumer.seek(place), lambda error: error.code() == KafkaError._STATE, limit_s)


def _patiently(ask: Callable[[], T], passes: Callable[[KafkaError], bool], limit_s: float) -> T:
    """Return what `ask` does once it raises none of the errors that pass; the client says of none when it has passed.
    Raises KafkaException: another error, or the last one."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return ask()
        except KafkaException as e:
            if not passes(e.args[0]) or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN_S)


def check(message: Message) -> bool:
    """Tell whether `message` is one, and not an event of the client. Raises GatewayFailed."""
    error = message.error()
    if error is None:
        return True
    if is_fatal(error) or error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
        raise halt("reading its sources", error)
    return False
