"""Reads what is written of one request from `export-parts`: one partition, to its end as of now.

Open transactions count to the end: a commit returns before its markers are written, and a committed read ends before
them until then. Used by `streams.exporter.finish`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.errors import Retry
from streams.exporter.manifest import Part
from streams.exporter.names import Names
from streams.runner.spec import RunnerSpec

_PATIENCE_S = 30.0
_PLACE = re.compile(rb"[0-9]{1,10}/[0-9]{1,10}")


class PartsUnread(Retry):
    """The topic did not give its records in time."""


class PartLog:
    """All written parts. `tick` is called while it reads."""

    def __init__(self, spec: RunnerSpec, names: Names, tick: Callable[[], None]) -> None:
        self._spec, self._names, self._tick = spec, names, tick

    def read(self, mark: str, partition: int) -> dict[bytes, Part]:
        """Return the parts of the request behind `mark`, by key. Raises PartsUnread."""
        place = TopicPartition(self._spec.topics.export_parts, partition, 0)
        consumer = Consumer(
            {
                **self._spec.client_config,
                "bootstrap.servers": self._spec.bootstrap,
                "group.id": "ebbtide-parts",  # never joined, never committed: the client asks for a name
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        try:
            end = self._end(place)
            consumer.assign([place])
            return self._read(consumer, mark.encode() + b"/", end)
        except KafkaException as error:
            raise PartsUnread(f"the written parts cannot be read now ({error.args[0].name()})") from None
        finally:
            consumer.close()

    def _end(self, place: TopicPartition) -> int:
        admin = AdminClient({**self._spec.client_config, "bootstrap.servers": self._spec.bootstrap})
        answers = admin.list_offsets(
            {place: OffsetSpec.latest()},  # type: ignore[no-untyped-call]
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_PATIENCE_S,
        )
        return int(answers[place].result(_PATIENCE_S).offset)

    def _read(self, consumer: Consumer, prefix: bytes, end: int) -> dict[bytes, Part]:
        found: dict[bytes, Part] = {}
        reached = 0
        patience = time.monotonic() + _PATIENCE_S
        while reached < end:
            self._tick()
            for message in consumer.consume(500, 0.2):
                error, offset = message.error(), int(message.offset() or 0)
                if error is None:
                    self._take(found, prefix, message.key() or b"", message.value())
                    offset += 1
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if offset > reached:
                    reached, patience = offset, time.monotonic() + _PATIENCE_S
            if time.monotonic() > patience:
                raise PartsUnread(f"the written parts were not read to their end for {_PATIENCE_S:g} s")
        return found

    def _take(self, found: dict[bytes, Part], prefix: bytes, key: bytes, value: bytes | None) -> None:
        if not key.startswith(prefix) or not _PLACE.fullmatch(key[len(prefix) :]):
            return
        if value is None:
            found.pop(key, None)
            return
        _, record = self._spec.codec.decode(value)
        found[key] = Part.of(record, self._names.folder(prefix[:-1].decode()))
