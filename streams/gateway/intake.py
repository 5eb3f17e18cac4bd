"""Reads sources in bulk and knows what has been read: positions, ends, and what a rebalance makes void."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.gateway.clients import ANSWER_S, check, halt, seek
from streams.gateway.reading import AT_ONCE, Found, Place, Reading
from streams.gateway.spec import GatewaySpec

log = logging.getLogger(__name__)

_BLOCK = 5_000
_FULL_WITHIN_S = 0.25
"""How long a block may take to come together while there is a backlog."""
_SILENT_S = 0.06
"""How long nothing comes where a backlog has ended: live traffic, whose packs shall be large, has shorter gaps."""
_LOOK_S = 0.02
"""How long the client is waited for at once: what ends a source comes only with messages, or when time is up."""


class Intake:
    """The source consumer. `reached` maps each partition of ours to the offset below which all was handed out.

    `before_moving` is called, by `read` or the consumer's `close`, before partitions come or go.
    """

    def __init__(self, consumer: Consumer, spec: GatewaySpec, *, before_moving: Callable[[], None]) -> None:
        self._consumer, self._limits = consumer, spec.limits
        self._before_moving = before_moving
        self._topics = spec.read_topics
        self._ends: dict[Place, int] = {}
        self.reached: dict[Place, int] = {}
        self._moved = False
        self.assignments = 0
        """How often the group has given us our partitions, which may be none."""
        consumer.subscribe(
            list(spec.read_topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    @property
    def consumer(self) -> Consumer:
        return self._consumer

    def partitions(self) -> list[TopicPartition]:
        """Return what is assigned."""
        return [TopicPartition(topic, partition) for topic, partition in self.reached]

    def read(self) -> Found:
        """Return what comes within the linger time or fills a pack. `reached` moves with it, by `note`.

        If partitions came or went meanwhile, nothing that was read counts: some of it may be another's by now. What
        is ours is read again from what is committed.
        """
        limits = self._limits
        began = time.monotonic()
        until, latest = began + limits.linger_ms / 1000, began + limits.backlog_linger_ms / 1000
        reading = Reading(self._topics)
        behind = False
        while reading.count < limits.pack_messages and reading.size < limits.pack_input_bytes:
            now = time.monotonic()
            wait = min(latest - now, _FULL_WITHIN_S) if behind else until - now
            if wait <= 0:
                break
            most = min(_BLOCK, limits.pack_messages - reading.count)
            behind = self._block(reading, most, until=until, latest=now + wait)
            if self._moved:
                self._moved = False
                self._start_over()
                return Reading(self._topics).found()
        return reading.found()

    def _block(self, reading: Reading, most: int, *, until: float, latest: float) -> bool:
        """Read `most` messages by `latest`, and tell whether all came.

        A backlog that has been read leaves its last pack partly filled: from `until` on it is waited for no longer
        than it takes to see that all sources are silent, and at their ends.
        """
        heard = time.monotonic()
        while most:
            asked = min(AT_ONCE, most)
            now = time.monotonic()
            wait = max(0.0, min(latest - now, _LOOK_S))
            got = self._consumer.consume(asked, wait)
            if self._moved:
                return False
            most -= len(got)
            full = len(got) == asked
            good = self._good(got) if any(map(Message.error, got)) else got
            reading.add(good)
            now = time.monotonic()
            heard = now if good else heard
            is_silent = now >= until and now - heard >= _SILENT_S
            if not full and (now >= latest or (is_silent and self._is_at_end())):
                return False
        return True

    def _good(self, got: Sequence[Message]) -> list[Message]:
        """Return the messages among the client's events, and take note of the ends that it tells of."""
        good = []
        for message in got:
            error = message.error()
            if error is None:
                good.append(message)
            elif not check(message) and error.code() == KafkaError._PARTITION_EOF:
                place = cast(str, message.topic()), cast(int, message.partition())
                self._ends[place] = cast(int, message.offset())
                self._reach(place, self._ends[place])
        return good

    def _is_at_end(self) -> bool:
        """Tell whether every source partition has been read to its end, as far as the client knows of one."""
        if self._ends.keys() != self.reached.keys():
            return False
        try:
            read = self._consumer.position(self.partitions())
        except KafkaException as e:
            raise halt("asking what it has read", e) from None
        return all(p.offset <= self._ends[p.topic, p.partition] for p in read)

    def note(self, spans: Mapping[Place, tuple[int, int]]) -> None:
        """Take note of what was handed out: each partition's offsets [first, next)."""
        for place, (_, following) in spans.items():
            self._reach(place, following)

    def _reach(self, place: Place, offset: int) -> None:
        if offset > self.reached.get(place, offset):
            self.reached[place] = offset

    def _assigned(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._before_moving()
        self._moved = True
        self.assignments += 1
        self.reached = {(p.topic, p.partition): -1 for p in partitions}
        self._ends.clear()

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._before_moving()
        self._moved = True
        for p in partitions:
            self.reached.pop((p.topic, p.partition), None)
            self._ends.pop((p.topic, p.partition), None)

    def _start_over(self) -> None:
        if not self.reached:
            return
        try:
            for p in self._consumer.committed(self.partitions(), ANSWER_S):
                self._see_what_was_trimmed(p)
                self.reached[p.topic, p.partition] = max(p.offset, 0) if p.offset >= 0 else -1
                seek(
                    self._consumer,
                    TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else OFFSET_BEGINNING),
                )
        except KafkaException as e:
            raise halt("taking up its partitions", e) from None

    def _see_what_was_trimmed(self, committed: TopicPartition) -> None:
        """Say aloud that events were deleted before they were read; they cannot be had back."""
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(committed.topic, committed.partition), ANSWER_S)
        if 0 <= committed.offset < low:
            log.error(
                "a source was trimmed before it was read: raise its retention, and backfill what is missing",
                extra={"topic": committed.topic, "partition": committed.partition, "lost": low - committed.offset},
            )
