"""What a pack is made of: messages as the client hands them out, asked while they are still in the processor's caches.

Made by `streams.gateway.intake`, used by `streams.gateway.run`. The client makes an object for each message, and each
question asked of it is a call: so the texts are copied and the objects let go by the hundreds, which costs three
fifths of asking all of a pack's at its end. `tests/unit/streams/gateway/test_reading.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from confluent_kafka import Message

from schemas.alike import in_order_of_use
from schemas.ragged import Bytes, Rows, padded_join, starts_of
from streams.gateway.events import Messages, Slices

AT_ONCE = 500
"""Messages that are best handed over together: some 500 bytes each, all of it in a cache of the second level."""

Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Messages of one pack. `places`: the source partitions, in the order of their first use, by `messages.source`."""

    messages: Messages
    places: Sequence[Place]

    def __len__(self) -> int:
        return len(self.messages)

    def after(self, used: int) -> Found:
        """Return those from the number `used` on."""
        m = self.messages
        source, places = _ranked(m.source[used:], self.places)
        value, key = (Slices(s.starts[used:], s.lengths[used:]) for s in (m.value, m.key))
        return Found(messages=replace(m, value=value, key=key, source=source, offset=m.offset[used:]), places=places)

    def spans(self, used: int) -> dict[Place, tuple[int, int]]:
        """Return the offsets [first, next) that the first `used` messages have in each of their source partitions."""
        source, offset = self.messages.source[:used], self.messages.offset[:used]
        spans = {}
        for i, place in enumerate(self.places):
            own = offset[source == i]
            if len(own):
                spans[place] = int(own.min()), int(own.max()) + 1
        return spans

    def origin(self, message: int) -> tuple[str, int, int]:
        """Return the topic, partition and offset of the message with a number."""
        topic, partition = self.places[int(self.messages.source[message])]
        return topic, partition, int(self.messages.offset[message])

    def value(self, message: int) -> bytes:
        """Return the value of the message with a number."""
        start, length = int(self.messages.value.starts[message]), int(self.messages.value.lengths[message])
        return self.messages.buffer[start : start + length].tobytes()


class Reading:
    """Collects messages read from `topics`. `size`: bytes of their values so far."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics
        self._numbers = {topic: i for i, topic in enumerate(topics)}
        self._values, self._keys = _Texts(), _Texts()
        self._codes: list[Rows] = []
        self._offsets: list[Rows] = []
        self.count = 0

    @property
    def size(self) -> int:
        return self._values.size

    def add(self, got: Sequence[Message]) -> None:
        """Take in messages, none of them an event of the client; best `AT_ONCE` and right after they were read."""
        if not got:
            return
        self._values.add(Message.value, got)
        self._keys.add(Message.key, got)
        codes, offsets = self._places_of(got)
        self._codes.append(codes)
        self._offsets.append(offsets)
        self.count += len(got)

    def _places_of(self, got: Sequence[Message]) -> tuple[Rows, Rows]:
        """Return each message's source as a code, and its offset: asked of all only where they are not one run."""
        n, partitions = len(got), [*map(Message.partition, got)]
        topics = [cast(str, m.topic()) for m in got] if len(self._topics) > 1 else [self._topics[0]]
        alike = partitions.count(partitions[0]) == n and topics.count(topics[0]) == len(topics)
        if alike:
            codes = np.full(n, cast(int, partitions[0]) * len(self._topics) + self._numbers[topics[0]], np.int64)
            first, last = cast(int, got[0].offset()), cast(int, got[-1].offset())
            if last - first == n - 1:  # a partition's offsets only grow, so none is left out
                return codes, np.arange(first, last + 1, dtype=np.int64)
        else:
            codes = np.array(partitions, np.int64) * len(self._topics)
            codes += np.array([self._numbers[topic] for topic in topics], np.int64)
        return codes, np.fromiter(map(Message.offset, got), np.int64, n)

    def found(self) -> Found:
        """Return what was taken in, as columns."""
        codes, offset = _joined(self._codes), _joined(self._offsets)
        topics = self._topics
        every = [(topics[code % len(topics)], code // len(topics)) for code in range(int(codes.max(initial=-1)) + 1)]
        source, places = _ranked(codes, every)
        (values, value), (keys, key) = self._values.slices(), self._keys.slices()
        messages = Messages(buffer=values, value=value, keys=keys, key=key, source=source, offset=offset)
        return Found(messages=messages, places=places)


class _Texts:
    """One part of each message, empty where it has none: joined piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._lengths: list[Rows] = []
        self.size = 0

    def add(self, part: Callable[[Message], bytes | None], got: Sequence[Message]) -> None:
        texts = [*map(part, got)]  # unbound methods under `map` cost no bytecode a message
        try:
            piece = b"".join(cast(list[bytes], texts))
        except TypeError:
            texts = [text or b"" for text in texts]
            piece = b"".join(cast(list[bytes], texts))
        self._pieces.append(piece)
        self._lengths.append(np.fromiter(map(len, cast(list[bytes], texts)), np.int64, len(texts)))
        self.size += len(piece)

    def slices(self) -> tuple[Bytes, Slices]:
        lengths = _joined(self._lengths)
        return padded_join(self._pieces), Slices(starts_of(lengths), lengths)


def _joined(parts: Sequence[Rows]) -> Rows:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _ranked(codes: Rows, every: Sequence[Place]) -> tuple[Rows, list[Place]]:
    """Return `codes` anew by the order of their first use, and which of `every` those are."""
    order = in_order_of_use(codes, len(every))
    rank = np.zeros(len(every), np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], [every[code] for code in order.tolist()]
