"""Lets the engine's own compacted topics be compacted: a record under a reserved key in each partition, now and then.

A compacted partition closes its active segment only when something is appended (docs/gone.md), and some of these topics
are quiet for weeks. The elected clock does it, since one process is enough. Changelogs are left out: their lanes alone
write them, and do so with every tick. `tests/integration/test_clock.py` says what it promises.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from schemas.topics import OWN_NUDGE_KEY, Topics, quiet_topics

log = logging.getLogger(__name__)

AGAIN_S = 600.0


class OwnNudges:
    """Nudges of one elected clock. A record that is lost is written again: whoever else may do so as well does no harm.

    Times in seconds, of `clock`; `first_s` is how long after the start the first ones are due.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        partitions: int,
        *,
        first_s: float,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = [(s.name, p) for s in quiet_topics(topics, partitions=partitions) for p in range(s.partitions)]
        self._every_s = every_s
        self._clock = clock
        self._next = clock() + first_s
        self._written = 0
        self._producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 30_000})

    def turn(self) -> int:
        """Write what is due, without waiting for it; return how many records were written since the last turn."""
        if self._clock() >= self._next:
            self._next = self._clock() + self._every_s
            for topic, partition in self._places:
                self._producer.produce(topic, None, OWN_NUDGE_KEY, partition, on_delivery=self._told)
        self._producer.poll(0)
        written, self._written = self._written, 0
        return written

    def close(self) -> None:
        """Wait a little for what is on its way."""
        self._producer.flush(5)

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._written += 1
            return
        log.warning("a nudge was not written", extra={"topic": message.topic(), "why": error.name()})
        self._next = min(self._next, self._clock() + AGAIN_S)
