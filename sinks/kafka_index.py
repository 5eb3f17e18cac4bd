"""Where each key of some compacted topics lives now: partitions and offsets, found by reading the topics.

Producers may use any partitioner, so a tombstone can only be put right by looking. The index is made anew at each
start and kept up to date by reading on; on disk there are only keyed hashes (the key of the hash lives in this
process alone) and numbers, so the files say nothing about anybody. Used by `sinks.kafka`;
`tests/integration/targets/test_kafka.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from rocksdict import Options, Rdict, WriteBatch

_PLACE = struct.Struct(">IQ")
_WAIT_S = 30.0
_AT_ONCE = 100
_READ_ON = 5_000
"""Offsets between two wanted records that are cheaper to read over than to seek past."""


class IndexBehind(Exception):
    """The topics could not be read to their ends in time. Never leaves `sinks`."""


class TopicsChanged(Exception):
    """A topic was deleted and made anew: open a new index. Never leaves `sinks`."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    partition: int
    offset: int


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
    ) -> None:
        self._topics = sorted(set(topics))
        self._directory = directory
        self._patience_s, self._open_s = patience_s, open_s
        self._secret = secrets.token_bytes(32)
        config: dict[str, str | int | float | bool] = {**client_config, "bootstrap.servers": bootstrap}
        self._admin = AdminClient(config)
        reading = {
            **config,
            "group.id": "ebbtide-index",  # never joined, never committed: the client asks for a name
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
        }
        self._consumer = Consumer({**reading, "queued.min.messages": 1_000_000, "queued.max.messages.kbytes": 65_536})
        self._values = Consumer({**reading, "queued.min.messages": 1, "queued.max.messages.kbytes": 4_096})
        self._reached: dict[tuple[str, int], int] = {}
        self._ids: dict[str, str] = {}
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(32 << 20)
        self._db = Rdict(str(directory / "keys"), options)

    def close(self) -> None:
        """Close, and remove the files."""
        self._consumer.close()
        self._values.close()
        self._db.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def catch_up(self) -> None:
        """Read on to where every topic ends now, open transactions included. Raises IndexBehind, KafkaException.

        Only committed records count, but their end does not do: a commit returns before its markers are written, so
        for a moment our own tombstones of just now would not be seen, and what they erased would be written anew.
        So the end is the one of all records, and what is still open is waited for.
        """
        if not self._reached:
            self._start()
        if self._topic_ids() != self._ids:
            raise TopicsChanged("a topic was made anew")
        ends = self._ends()
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

    def places(self, topic: str, keys: Sequence[bytes]) -> dict[bytes, list[Place]]:
        """Return where each key lives, only for keys that live somewhere."""
        found = {}
        for key in keys:
            row = self._db.get(self._hash(topic, key))
            if row:
                found[key] = [Place(*place) for place in _PLACE.iter_unpack(row)]
        return found

    def forget(self, topic: str, key: bytes, place: Place) -> None:
        """Take out a place that compaction has emptied: its tombstone was gone before it was read."""
        row = self._hash(topic, key)
        left = [p for p in _PLACE.iter_unpack(self._db.get(row) or b"") if p != (place.partition, place.offset)]
        self._db[row] = b"".join(_PLACE.pack(*p) for p in left)

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
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in self._reached])

    def _topic_ids(self) -> dict[str, str]:
        asked = self._admin.describe_topics(TopicCollection(self._topics), request_timeout=_WAIT_S)
        return {topic: str(answer.result(_WAIT_S).topic_id) for topic, answer in asked.items()}

    def _ends(self) -> dict[tuple[str, int], int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, partition): latest for topic, partition in self._reached}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_WAIT_S
        )
        return {(tp.topic, tp.partition): answer.result(_WAIT_S).offset for tp, answer in answers.items()}

    def _take(self, messages: Sequence[Message]) -> None:
        changed: dict[bytes, dict[int, int | None]] = {}
        for message in messages:
            topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            error = message.error()
            if error is None:
                place = changed.setdefault(self._hash(topic, message.key() or b""), {})
                place[partition] = None if message.value() is None else offset
                self._reached[topic, partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached[topic, partition] = max(self._reached[topic, partition], offset)
            elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise KafkaException(error)
        batch = WriteBatch(raw_mode=True)
        for key, places in changed.items():
            known: dict[int, int | None] = dict(_PLACE.iter_unpack(self._db.get(key) or b""))
            live = {partition: offset for partition, offset in {**known, **places}.items() if offset is not None}
            if live:
                batch.put(key, b"".join(_PLACE.pack(*place) for place in sorted(live.items())))
            else:
                batch.delete(key)
        self._db.write(batch)

    def _hash(self, topic: str, key: bytes) -> bytes:
        return hashlib.blake2b(topic.encode() + b"\0" + key, digest_size=16, key=self._secret).digest()


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
