"""Where each key of some compacted topics lives now: partitions and offsets, found by reading the topics.

Producers may use any partitioner, so a tombstone can only be put right by looking. The index is made anew at each
start and kept up to date by reading on, but for what the sink itself has erased: where offsets tell that nobody else
has written meanwhile, that need not be read. Used by `sinks.kafka`; `tests/integration/targets/test_kafka.py` says what
it promises.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from schemas.client_errors import answered, is_fatal
from schemas.fetching import BULK
from schemas.offsets import partition_ends
from sinks.kafka_places import MEMORY_BYTES, KeyPlaces, Place

_WAIT_S = 30.0
_MARKER_S = 0.5
"""How long the marker of a committed transaction is waited for."""
_AT_ONCE = 100
_READ_ON = 5_000
"""Offsets between two wanted records that are cheaper to read over than to seek past."""


class IndexBehind(Exception):
    """The topics could not be read to their ends in time. Never leaves `sinks`."""


class TopicsChanged(Exception):
    """A topic was deleted and made anew: open a new index. Never leaves `sinks`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record's value and headers as they are in the topic."""

    value: bytes | None = field(repr=False)
    headers: tuple[tuple[str, bytes | None], ...] = field(default=(), repr=False)


class KeyIndex:
    """The index of `topics` on one cluster. `directory` is wiped when the index is opened and closed.

    `patience_s`, `open_s`: seconds without progress after which a read, or what is still open, is given up for now.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Iterable[str],
        *,
        directory: Path,
        client_config: Mapping[str, str],
        patience_s: float = 20.0,
        open_s: float = 5.0,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._topics = sorted(set(topics))
        self._patience_s, self._open_s = patience_s, open_s
        config: dict[str, str | int | float | bool] = {**client_config, "bootstrap.servers": bootstrap}
        self._admin = AdminClient(config)
        reading = {
            **config,
            "group.id": "ebbtide-index",  # never joined, never committed: the client asks for a name
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            **BULK,
        }
        self._consumer = Consumer({**reading, "queued.min.messages": 1_000_000, "queued.max.messages.kbytes": 65_536})
        self._values = Consumer({**reading, "queued.min.messages": 1, "queued.max.messages.kbytes": 4_096})
        self._reached: dict[tuple[str, int], int] = {}
        self._ids: dict[str, str] = {}
        self._keys = KeyPlaces(directory, memory_bytes=memory_bytes)
        self._own: dict[tuple[str, int], int] = {}
        self._following = False

    def close(self) -> None:
        """Close, and remove the files."""
        self._consumer.close()
        self._values.close()
        self._keys.close()

    def take(self, topic: str, keys: Sequence[bytes]) -> tuple[int, dict[int, list[bytes]]]:
        """Take out keys that are being erased; return how many live, and by partition those that live there.

        All that was taken is put back, unless `erased` says that it is gone.
        """
        return self._keys.take(topic, keys)

    def erased(self, counts: Mapping[tuple[str, int], int]) -> None:
        """Take note that what was taken is erased by one transaction, which is committed, with so many tombstones in
        each topic and partition, and nothing else there."""
        self._keys.keep()
        for place, count in counts.items():
            self._own[place] = 0 if place in self._own else count  # two transactions: what they wrote is read

    def catch_up(self, *, anew: bool = True) -> None:
        """Read on to where every topic ends now, open transactions included. Raises IndexBehind, KafkaException.

        Only committed records count, but their end does not do: a commit returns before its markers are written, so
        for a moment our own tombstones of just now would not be seen, and what they erased would be written anew.
        So the end is the one of all records, and what is still open is waited for. `anew`: what was taken is put back.
        """
        if anew:
            self._keys.undo()
        self._keys.make_room()
        if not self._reached:
            self._start()
        if self._topic_ids() != self._ids:
            raise TopicsChanged("a topic was made anew")
        self._pass_own()
        ends = partition_ends(self._admin, self._reached, _WAIT_S)
        if any(self._reached[place] < end for place, end in ends.items()):
            self._follow()
            self._read_to(ends)

    def follow(self) -> None:
        """Fetch what comes, so that it is here before compaction takes it away. Raises KafkaException."""
        if self._reached:
            self._pass_own()
            self._follow()

    def rest(self) -> None:
        """Fetch nothing: what the sink is about to erase would come, to no use."""
        if self._following:
            self._consumer.unassign()
            self._following = False

    def _follow(self) -> None:
        if not self._following:
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._reached.items()])
            self._following = True

    def _read_to(self, ends: Mapping[tuple[str, int], int]) -> None:
        patience = time.monotonic() + self._open_s
        while any(self._reached[place] < end for place, end in ends.items()):
            before = dict(self._reached)
            self._take(self._consumer.consume(10_000, 0.05))
            if self._reached != before:
                patience = time.monotonic() + self._open_s
            elif time.monotonic() > patience:
                raise IndexBehind(
                    f"a topic was not read to its end for {self._open_s:g} s: a transaction in it may be open"
                )

    def _pass_own(self) -> None:
        """Go on behind our own tombstones where nothing but them, and the marker of their transaction, was written.

        Where the end of all records is the one that the committed ones had a moment before, no transaction was open
        there: ours, too, has its marker. If there are as many offsets as our records and one, nobody else has written.
        A commit returns before its markers are written, and they are waited for: reading would have to do that as well.
        """
        own, self._own = {place: count for place, count in self._own.items() if count}, {}
        until = time.monotonic() + _MARKER_S
        while own and time.monotonic() < until:
            stable = partition_ends(self._admin, self._reached, _WAIT_S, settled=True)
            ends = partition_ends(self._admin, self._reached, _WAIT_S)
            for place, count in list(own.items()):
                alone = self._reached[place] + count + 1
                if stable[place] == ends[place] == alone:
                    self._reached[place] = alone
                if stable[place] == alone or ends[place] > alone:
                    del own[place]
            if own:
                time.sleep(0.002)

    def places(self, topic: str, keys: Sequence[bytes]) -> dict[bytes, list[Place]]:
        """Return where each key lives, only for keys that live somewhere."""
        return self._keys.places(topic, keys)

    def forget(self, topic: str, key: bytes, place: Place) -> None:
        """Take out a place that compaction has emptied: its tombstone was gone before it was read."""
        self._keys.forget(topic, key, place)

    def read(self, topic: str, places: Iterable[Place]) -> dict[Place, Stored]:
        """Return the records at `places`; one that was overwritten meanwhile is left out. Raises IndexBehind."""
        return dict(self.stream(topic, places))

    def stream(self, topic: str, places: Iterable[Place]) -> Iterator[tuple[Place, Stored]]:
        """Yield the records at `places` in their order, few of them held at a time. Raises IndexBehind."""
        wanted: dict[int, list[int]] = {}
        for place in sorted(set(places)):
            wanted.setdefault(place.partition, []).append(place.offset)
        try:
            for partition, offsets in wanted.items():
                yield from self._read_partition(topic, partition, offsets)
        finally:
            self._values.unassign()

    def _read_partition(self, topic: str, partition: int, offsets: list[int]) -> Iterator[tuple[Place, Stored]]:
        at = -_READ_ON - 1
        left = iter(offsets)
        offset = next(left, None)
        patience = time.monotonic() + self._patience_s
        while offset is not None:
            if offset > at + _READ_ON:
                self._values.assign([TopicPartition(topic, partition, offset)])
                at = offset
            for message in self._values.consume(_AT_ONCE, 0.2):
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                at = int(message.offset() or 0)
                while offset is not None and offset < at:
                    offset = next(left, None)  # it is not there any more
                if error is None and offset == at:
                    yield Place(partition, at), Stored(message.value(), _headers(message))
                    offset = next(left, None)
                patience = time.monotonic() + self._patience_s
            if time.monotonic() > patience:
                raise IndexBehind(f"a record was not read for {self._patience_s:g} s")

    def _start(self) -> None:
        for topic in self._topics:
            metadata = self._consumer.list_topics(topic, timeout=_WAIT_S).topics[topic]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            self._reached |= {(topic, partition): 0 for partition in metadata.partitions}
        self._ids = self._topic_ids()

    def _topic_ids(self) -> dict[str, str]:
        asked = self._admin.describe_topics(TopicCollection(self._topics), request_timeout=_WAIT_S)
        return {topic: str(answered(answer, _WAIT_S).topic_id) for topic, answer in asked.items()}

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            error = message.error()
            if error is None:
                lives = message.value() is not None
                self._keys.put(topic, message.key() or b"", Place(partition, offset), lives=lives)
                self._reached[topic, partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached[topic, partition] = max(self._reached[topic, partition], offset)
            elif is_fatal(error) or error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise KafkaException(error)


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)


def json_object(value: bytes | None) -> dict[str, object] | None:
    """Return a record's value as a JSON object, or None where it is not one."""
    try:
        parsed = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
