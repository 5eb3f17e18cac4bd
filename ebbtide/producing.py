"""A Kafka producer that does not take a lost message for a written one.

librdkafka's idempotent producer keeps several requests under way. When one fails and a later one of its partition
succeeds, it concludes that the failed one had been written after all, and reports it so, without an offset. The
conclusion rests on brokers that refuse a sequence number out of order; but a broker that knows nothing of a producer
in a partition takes whichever number comes first. So where a partition gets its leader between two requests, being new,
moved, or of a broker that starts, the first of them are lost and nobody is told. `max.in.flight` 1 does not help: the
second waits with its number in the client's own queue.

`SureProducer` sends the first message of each partition alone, and the first after an hour, since brokers forget a
producer that has been quiet for `producer.id.expiration.ms`, a day. `tests/integration/test_producing.py` holds it.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

KNOWN_S = 3600.0
"""For how long after the last message a broker surely knows the producer in a partition, seconds."""

ALONE_S = 30.0
_LOOK_S = 0.05

_Told = Callable[[KafkaError | None, Message], None] | None


def problem_of(error: KafkaError | None, message: Message) -> str:
    """Return why a delivery report does not say that the brokers have the message, or nothing if it does.

    Without an offset that is only librdkafka's conclusion.
    """
    if error is not None:
        return error.str()
    return "" if message.offset() is not None else "the brokers did not say where it is"


class SureProducer(Producer):
    """An idempotent or transactional producer, safe to share among threads; partitions are always named.

    A first message of a partition waits for its acknowledgement, up to `alone_s` seconds, before `produce` returns.
    """

    def __init__(
        self, config: Mapping[str, Any], *, alone_s: float = ALONE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__({**config, "enable.idempotence": True})
        self._clock = clock
        self._used: dict[tuple[str, int], float] = {}
        self._alone_s = alone_s
        self._alone: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)

    def produce(  # type: ignore[override]
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        on_delivery: _Told = None,
        headers: Any = None,
    ) -> None:
        """As the base's. Raises BufferError, KafkaException, ValueError for no partition."""
        if not self._is_known(topic, partition):
            with self._alone[topic, partition]:
                if not self._is_known(topic, partition):  # no other thread was first
                    first = _First(self._used, (topic, partition), self._clock, on_delivery)
                    super().produce(topic, value, key, partition, on_delivery=first, headers=headers)
                    self._wait_for(first)
                    return
        super().produce(topic, value, key, partition, on_delivery=on_delivery, headers=headers)

    def produce_batch(  # type: ignore[override]
        self, topic: str, messages: list[dict[str, Any]], partition: int = -1
    ) -> int:
        """As the base's: return how many were taken; the others have an `_error`. All are of one partition."""
        if messages and not self._is_known(topic, partition):
            with self._alone[topic, partition]:
                if not self._is_known(topic, partition):
                    first = _First(self._used, (topic, partition), self._clock, None)
                    if not super().produce_batch(topic, messages[:1], partition, on_delivery=first):
                        for message in messages[1:]:
                            message["_error"] = messages[0]["_error"]
                        return 0
                    self._wait_for(first)
                    return 1 + super().produce_batch(topic, messages[1:], partition)
        return super().produce_batch(topic, messages, partition)

    def _is_known(self, topic: str, partition: int) -> bool:
        """Whether brokers know of this producer there; if so it has been used just now."""
        if partition < 0:
            raise ValueError(f"a message to {topic} names no partition")
        now, place = self._clock(), (topic, partition)
        if now - self._used.get(place, float("-inf")) >= KNOWN_S:
            return False
        self._used[place] = now
        return True

    def _wait_for(self, first: _First) -> None:
        """Not one long flush: that waits for what other threads send meanwhile, too."""
        end = time.monotonic() + self._alone_s
        while not first.is_told and time.monotonic() < end:
            self.flush(_LOOK_S)


class _First:
    """The report on a first message. It has no hold on its producer, which nobody could let go of otherwise."""

    def __init__(
        self, used: dict[tuple[str, int], float], place: tuple[str, int], clock: Callable[[], float], then: _Told
    ) -> None:
        self._used, self._place, self._clock, self._then = used, place, clock, then
        self.is_told = False

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if not problem_of(error, message):
            self._used[self._place] = self._clock()
        self.is_told = True
        if self._then is not None:
            self._then(error, message)
