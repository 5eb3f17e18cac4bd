"""The clock: one elected process writes a `Tick` to every ledger partition, and each minute to every coordinator's.

Election is a consumer group over the one-partition `clock` topic: who holds the partition ticks. The transactional id
fences whoever still believes to hold it. A clock that cannot write ends its process; ledger time then stands still,
nothing becomes due, and the missing ticks are alerted on. `tests/integration/test_clock.py` says what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Producer

from ebbtide.wire import Codec
from schemas.client_errors import is_fatal
from schemas.sequence import HEADER, Sequence
from schemas.topics import Topics
from streams.own_nudges import OwnNudges

log = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSpec:
    """What a clock needs. `tick_s` is the pause between ticks, seconds.

    nudge_first_s, nudge_every_s: when the engine's own compacted topics are nudged, since it was elected.
    """

    bootstrap: str
    topics: Topics
    partitions: int
    slot: str
    tick_s: float
    session_timeout_s: int
    nudge_first_s: float = 600.0
    nudge_every_s: float = 6 * 3_600.0


COORDINATORS_EVERY_MS = 60_000
"""Coordinators count days and deadlines: a tick a minute of engine time is enough, and sixty times less to write."""


class TickWriter:
    """Writes ticks as one writer, a transaction each: a tick is in every partition or in none.

    Coordinators get theirs on `answers`: it has a partition for each of theirs, only ebbtide's own roles write there,
    and each record has its sequence. On `requests` anybody who may ask for something could end a grace.

    `writer` names the sequence; each start is a new incarnation of it, `incarnation` must differ from all before.
    """

    def __init__(
        self, bootstrap: str, topics: Topics, partitions: int, codec: Codec, *, writer: str, incarnation: int
    ) -> None:
        self._topics, self._partitions, self._codec = topics, partitions, codec
        self._writer, self._incarnation = writer, incarnation
        self._seqs = {topics.ledger: 0, topics.answers: 0}
        self._minute = -1
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": f"{topics.prefix}-{writer}",
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "linger.ms": 1,
            }
        )
        self._producer.init_transactions(30)

    def tick(self, now_ms: int, *, approved: bool = False) -> None:
        """Write one tick. Raises KafkaException, also when another writer has taken over."""
        value = self._codec.encode("Tick", {"now": now_ms, "approved": approved})
        minute = now_ms // COORDINATORS_EVERY_MS
        self._producer.begin_transaction()
        self._write(self._topics.ledger, value)
        if minute != self._minute:
            self._write(self._topics.answers, value)
        self._producer.commit_transaction(30)
        self._minute = minute

    def _write(self, topic: str, value: bytes) -> None:
        self._seqs[topic] += 1
        header = (HEADER, Sequence(self._writer, self._incarnation, self._seqs[topic]).encode())
        for partition in range(self._partitions):
            self._producer.produce(topic, value, partition=partition, headers=[header])


def run_clock(
    spec: ClockSpec,
    codec: Codec,
    *,
    now_ms: Callable[[], int],
    stop: threading.Event,
    on_tick: Callable[[int], None] = lambda _: None,
    on_ready: Callable[[], None] = lambda: None,
    on_nudges: Callable[[int], None] = lambda _: None,
) -> None:
    """Tick until `stop` is set, whenever this process is the elected one. Raises KafkaException when fenced."""
    writer: TickWriter | None = None
    nudges: OwnNudges | None = None
    for elected in _elections(spec, stop, on_ready):
        if not elected:
            writer = nudges = None
            continue
        if writer is None or nudges is None:
            log.info("this clock is elected")
            writer = TickWriter(
                spec.bootstrap, spec.topics, spec.partitions, codec, writer="clock", incarnation=time.time_ns()
            )
            nudges = OwnNudges(
                spec.bootstrap,
                spec.topics,
                spec.partitions,
                first_s=spec.nudge_first_s,
                every_s=spec.nudge_every_s,
            )
        now = now_ms()
        writer.tick(now)
        on_tick(now)
        on_nudges(nudges.turn())
    if nudges is not None:
        nudges.close()


def _elections(spec: ClockSpec, stop: threading.Event, on_ready: Callable[[], None]) -> Iterator[bool]:
    """Yield every `tick_s` whether this process holds the clock."""
    consumer = Consumer(
        {
            "bootstrap.servers": spec.bootstrap,
            "group.id": f"{spec.topics.prefix}-clock",
            "group.instance.id": f"clock-{spec.slot}",
            "session.timeout.ms": spec.session_timeout_s * 1000,
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([spec.topics.clock])
    on_ready()
    try:
        while not stop.is_set():
            message = consumer.poll(spec.tick_s)
            if message is not None and (error := message.error()) is not None:
                if is_fatal(error):
                    raise KafkaException(error)
                log.warning("kafka client", extra={"why": error.name()})
            yield bool(consumer.assignment())
    finally:
        consumer.close()
