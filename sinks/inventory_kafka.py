"""Reads what a compacted topic holds now: the newest value of each key, up to the topic's end when backfill began.

Two passes over a partition: the first keeps a hash of each key with its last offset (16 bytes a record read, in
arrays; the keys themselves are not kept), the second reads again and tells of the records at those offsets. The ends
are part of the cursor, so a killed backfill goes on with the same. Called by `ops.backfill`; proven by
`tests/integration/test_backfill.py`.
"""

from __future__ import annotations

import json
import time
from array import array
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import xxhash
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from numpy.typing import NDArray

from schemas.fetching import WAIT_MS
from schemas.plans import KafkaPlan
from sinks.base import Found, Page, PlanBroken, SinkUnavailable
from sinks.inventory import PAGE_ROWS, admit

_TIMEOUT_S = 60.0


class KafkaInventory:
    """All keys of one target's topics. Plans that share a topic are told apart by their key templates."""

    def __init__(self, target: str, bootstrap: str, plans: Sequence[KafkaPlan], *, page_rows: int = PAGE_ROWS) -> None:
        self._target = target
        self._plans: dict[str, list[KafkaPlan]] = {}
        for plan in sorted(plans, key=lambda p: (p.topic, p.category)):
            self._plans.setdefault(plan.topic, []).append(plan)
        self._page_rows = page_rows
        self._now_s = time.time()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"ebbtide-backfill-{target}",  # nothing is ever committed under it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": WAIT_MS,
                "isolation.level": "read_committed",
            }
        )
        self._newest: tuple[str, int, NDArray[np.int64]] | None = None

    def total(self) -> int:
        spans = (self._span(topic, p) for topic in self._plans for p in self._partitions(topic))
        return sum(end - start for start, end in spans)

    def page(self, cursor: Mapping[str, Any] | None) -> Page:
        if cursor is None:
            spots = [[t, p, *self._span(t, p)] for t in self._plans for p in self._partitions(t)]
        else:
            spots = [list(spot) for spot in cursor["left"]]
        if not spots:
            return Page(records=(), cursor=None)
        topic, partition, offset, end = cast(tuple[str, int, int, int], spots[0])
        newest = self._newest_offsets(topic, partition, offset, end)
        skipped: Counter[str] = Counter()
        records: list[Found] = []
        seen, following = 0, end
        with closing(self._messages(topic, partition, offset, end)) as messages:
            for message in messages:
                if seen == self._page_rows:
                    following = cast(int, message.offset())
                    break
                seen += 1
                found = self._found(message, newest, skipped)
                if found is not None:
                    records.append(found)
        left = [[topic, partition, following, end], *spots[1:]] if following < end else spots[1:]
        return Page(records=records, cursor={"left": left} if left else None, skipped=skipped, seen=seen)

    def close(self) -> None:
        self._consumer.close()

    def _found(self, message: Message, newest: NDArray[np.int64], skipped: Counter[str]) -> Found | None:
        key, value, offset = message.key(), message.value(), cast(int, message.offset())
        at = int(np.searchsorted(newest, offset))
        if value is None or at == len(newest) or newest[at] != offset:
            return None  # a tombstone, or there is something newer under this key
        if key is None:
            skipped["no_id"] += 1
            return None
        for plan in self._plans[cast(str, message.topic())]:
            names = plan.key.parse(key)
            if names is not None:
                return self._read(plan, names, message, value, skipped)
        skipped["key_of_no_plan"] += 1
        return None

    def _read(
        self, plan: KafkaPlan, names: tuple[str, str], message: Message, raw: bytes, skipped: Counter[str]
    ) -> Found | None:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            skipped["not_json"] += 1
            return None
        if plan.created is None:
            created: float | None = message.timestamp()[1] / 1000
        else:
            try:
                created = _seconds(_at(value, plan.created))
            except (ValueError, OverflowError):
                skipped["bad_created"] += 1
                return None
        return admit(
            skipped,
            category=plan.category,
            org=names[0],
            record_id=names[1],
            created_s=created,
            subjects=_texts(_at(value, plan.subject)) if plan.subject else (),
            now_s=self._now_s,
        )

    def _newest_offsets(self, topic: str, partition: int, offset: int, end: int) -> NDArray[np.int64]:
        """Return the sorted offsets in [offset, end) that are the last of their key."""
        if self._newest is not None and self._newest[:2] == (topic, partition):
            return self._newest[2]
        hashes, offsets = array("Q"), array("q")
        for message in self._messages(topic, partition, offset, end):
            hashes.append(xxhash.xxh3_64_intdigest(message.key() or b""))
            offsets.append(cast(int, message.offset()))
        # The first of each in reversed order is the last in order.
        _, firsts = np.unique(np.array(hashes, dtype=np.uint64)[::-1], return_index=True)
        newest = np.sort(np.array(offsets, dtype=np.int64)[::-1][firsts])
        self._newest = (topic, partition, newest)
        return newest

    def _messages(self, topic: str, partition: int, offset: int, end: int) -> Generator[Message, None, None]:
        """Yield committed messages of [offset, end). Raises SinkUnavailable if the broker falls silent."""
        if offset >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        heard = time.monotonic()
        try:
            while True:
                some = self._consumer.consume(10_000, 0.2)  # a longer wait would also wait at the partition's end
                heard = time.monotonic() if some else heard
                if time.monotonic() - heard > _TIMEOUT_S:
                    why = (
                        f"topic {topic} gave nothing for {_TIMEOUT_S:g} s: silent, or held back by an open transaction"
                    )
                    raise SinkUnavailable(self._target, why)
                for message in some:
                    error = message.error()
                    at = cast(int, message.offset())
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        raise SinkUnavailable(self._target, error.name())
                    if at >= end:
                        return
                    if error is not None:
                        continue  # the end of what is committed so far; the rest is waited for, never left out
                    yield message
        except KafkaException as error:
            raise SinkUnavailable(self._target, error.args[0].name()) from None
        finally:
            self._consumer.unassign()

    def _partitions(self, topic: str) -> list[int]:
        try:
            there = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise SinkUnavailable(self._target, error.args[0].name()) from None
        if topic not in there:
            raise PlanBroken(self._target, f"there is no topic {topic}")
        return sorted(there[topic].partitions)

    def _span(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise SinkUnavailable(self._target, error.args[0].name()) from None
        return low, high


def _at(value: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)  # type: ignore[assignment]
    return value


def _seconds(value: Any) -> float | None:
    """Read milliseconds since the epoch, or ISO 8601; without a zone it is UTC. Raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000
    if isinstance(value, str):
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    raise ValueError("neither a number nor text")


def _texts(value: Any) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    return tuple(str(v) for v in many if isinstance(v, str | int) and not isinstance(v, bool))
