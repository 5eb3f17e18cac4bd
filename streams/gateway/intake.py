"""Reads sources in bulk and knows what has been read: positions, ends, and what a rebalance makes void."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.ragged import padded, starts_of
from streams.gateway.clients import ANSWER_S, check, halt
from streams.gateway.events import Messages, Slices
from streams.gateway.spec import GatewaySpec

log = logging.getLogger(__name__)

Place = tuple[str, int]
_CHUNK = 5_000
_FULL_WITHIN_S = 0.25
"""How long a read may take to come back full while there is a backlog."""


class Intake:
    """The source consumer. `reached` maps each partition of ours to the offset below which all was handed out.

    `before_moving` is called, by `read` or the consumer's `close`, before partitions come or go.
    """

    def __init__(self, consumer: Consumer, spec: GatewaySpec, *, before_moving: Callable[[], None]) -> None:
        self._consumer, self._limits = consumer, spec.limits
        self._before_moving = before_moving
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

    def read(self) -> list[Message]:
        """Return what comes within the linger time or fills a pack. `reached` moves with it.

        If partitions came or went meanwhile, nothing that was read counts: some of it may be another's by now. What
        is ours is read again from what is committed.
        """
        limits = self._limits
        began = time.monotonic()
        until, latest = began + limits.linger_ms / 1000, began + limits.backlog_linger_ms / 1000
        found: list[Message] = []
        size = 0
        behind = False
        while len(found) < limits.pack_messages and size < limits.pack_input_bytes:
            now = time.monotonic()
            wait = min(latest - now, _FULL_WITHIN_S) if behind else until - now
            if wait <= 0:
                break
            got = self._consumer.consume(min(_CHUNK, limits.pack_messages - len(found)), wait)
            behind = len(got) == _CHUNK
            if self._moved:
                self._moved = False
                self._start_over()
                return []
            if any(map(Message.error, got)):
                got = self._good(got)
            found += got
            size += sum(map(len, got))
        return found

    def _good(self, got: Sequence[Message]) -> list[Message]:
        """Return the messages among the client's events, and take note of the ends that it tells of."""
        good = []
        for message in got:
            error = message.error()
            if error is None:
                good.append(message)
            elif not check(message) and error.code() == KafkaError._PARTITION_EOF:
                self._reach(place_of(message), offset_of(message))
        return good

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

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._before_moving()
        self._moved = True
        for p in partitions:
            self.reached.pop((p.topic, p.partition), None)

    def _start_over(self) -> None:
        if not self.reached:
            return
        try:
            for p in self._consumer.committed(self.partitions(), ANSWER_S):
                self._see_what_was_trimmed(p)
                self.reached[p.topic, p.partition] = max(p.offset, 0) if p.offset >= 0 else -1
                self._consumer.seek(
                    TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else OFFSET_BEGINNING)
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


def place_of(message: Message) -> Place:
    """Return the topic and partition of a message that was read."""
    return cast(str, message.topic()), cast(int, message.partition())


def offset_of(message: Message) -> int:
    """Return the offset of a message that was read."""
    return cast(int, message.offset())


def as_messages(found: Sequence[Message], topics: Sequence[str]) -> tuple[Messages, list[Place]]:
    """Return `found`, read from `topics`, as columns, and the source partitions in the order in which they appear."""
    values, keys = _texts(Message.value, found), _texts(Message.key, found)
    partitions = np.fromiter(map(Message.partition, found), np.int64, len(found))
    numbers = {topic: i for i, topic in enumerate(topics)}
    topic = np.array([numbers[cast(str, m.topic())] for m in found], np.int64) if len(topics) > 1 else 0
    codes = partitions * len(topics) + topic
    first = np.full(int(codes.max(initial=-1)) + 1, -1, np.int64)
    first[codes[::-1]] = np.arange(len(found) - 1, -1, -1)  # of repeats, numpy keeps the last one written
    distinct = np.flatnonzero(first >= 0)
    order = distinct[np.argsort(first[distinct])]
    places = [(topics[code % len(topics)], code // len(topics)) for code in order.tolist()]
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(order))
    value_lengths = np.fromiter(map(len, values), np.int64, len(values))
    key_lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    messages = Messages(
        buffer=padded(b"".join(values)),
        value=Slices(starts_of(value_lengths), value_lengths),
        keys=padded(b"".join(keys)),
        key=Slices(starts_of(key_lengths), key_lengths),
        source=rank[codes],
        offset=np.fromiter(map(Message.offset, found), np.int64, len(found)),
    )
    return messages, places


def _texts(part: Callable[[Message], bytes | None], found: Sequence[Message]) -> list[bytes]:
    """Return a part of each message, empty where it has none. Unbound methods under `map` cost no bytecode a row."""
    return [b"" if text is None else text for text in map(part, found)]


def spans_of(messages: Messages, places: Sequence[Place], used: int) -> dict[Place, tuple[int, int]]:
    """Return the offsets [first, next) that the first `used` messages have in each of their source partitions."""
    source, offset = messages.source[:used], messages.offset[:used]
    spans = {}
    for i, place in enumerate(places):
        own = offset[source == i]
        if len(own):
            spans[place] = int(own.min()), int(own.max()) + 1
    return spans
