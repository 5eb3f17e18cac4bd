"""Backfill: existing rows and keys become `created` batches on the lifecycle topic, resumable, each exactly once.

    store ─ page ─▶ sort by (org, category, created) ─▶ batches ─┐ one Kafka transaction
                                                   checkpoint ───┘

Pages are large and sorted, since many days in one batch make many tiny segments in the ledger. A killed backfill
goes on behind its last committed page; a finished one that is run again tells everything again, which the ledger
drops. `ebbtide backfill` and the demo call it; `tests/integration/test_backfill.py` kills it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from confluent_kafka import KafkaException

from ebbtide.events import LifecycleBatch, batches
from ebbtide.partition import partition_of
from ebbtide.producing import SureProducer
from ebbtide.wire import Codec
from ops.backfill.checkpoint import Checkpoint
from ops.backfill.spec import BackfillSpec
from ops.compacted import newest_values
from schemas.codec import registered_codec
from schemas.errors import Refused, Retry
from schemas.topics import Topics
from sinks.base import Found, Page

PRODUCER = "backfill"
_TIMEOUT_S = 30.0
_NEW_TOPIC_S = 5.0


class BackfillInterrupted(Retry):
    """A page could not be committed; running the backfill again goes on with it."""


class BackfillSuperseded(Refused):
    """Another backfill of the same target has begun meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillResult:
    """What was told, over all runs that it took. `skipped` counts rows that could not be told, by reason."""

    target: str
    records: int
    batches: int
    skipped: Mapping[str, int]
    resumed: bool

    @property
    def complete(self) -> bool:
        """Whether every row is told; if not, `ebbtide backfill` ends with exit code 1."""
        return not self.skipped


def run_backfill(
    spec: BackfillSpec, target: str, *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> BackfillResult:
    """Tell of all records of `target`. `progress` gets (rows done, rows in all, estimated) after each page.

    Raises Refused: no such target, a plan that backfill cannot use; SinkUnavailable, BackfillInterrupted: run it
    again; sinks.base.PlanBroken.
    """
    inventory = spec.inventory(target)
    try:
        sender = _Sender(spec, target)
        state = sender.start(spec.signature(target))
        resumed = state.cursor is not None
        total = inventory.total()
        while not state.finished:
            page = inventory.page(state.cursor)
            state = sender.commit(page, state)
            progress(state.seen, max(total, state.seen))
    finally:
        inventory.close()
    return BackfillResult(
        target=target, records=state.records, batches=state.batches, skipped=dict(state.skipped), resumed=resumed
    )


def to_batches(records: Sequence[Found], target: str) -> Iterator[LifecycleBatch]:
    """Return the records' batches, the same for the same records in any order."""
    ordered = sorted(records, key=lambda r: (r.org, r.category, r.created_s, r.record_id))
    for (org, category), group in groupby(ordered, key=lambda r: (r.org, r.category)):
        rows = list(group)
        yield from batches(
            "created",
            org,
            category,
            [r.record_id for r in rows],
            [r.created_s * 1000 for r in rows],
            subjects=[r.subject_ids for r in rows],
            target=target,
            producer=PRODUCER,
        )


class _Sender:
    """Writes pages and checkpoints, one transaction each. Its transactional id fences an older run of the target."""

    def __init__(self, spec: BackfillSpec, target: str) -> None:
        self._target = target
        self._bootstrap = spec.bootstrap
        self._topics = Topics(spec.prefix)
        self._codec: Codec = registered_codec(spec.registry_url)
        self._producer = SureProducer(
            {
                "bootstrap.servers": spec.bootstrap,
                "transactional.id": f"{spec.prefix}-backfill-{target}",
                # A killed run's open transaction holds every reader of the topic back for so long.
                "transaction.timeout.ms": 10_000,
                "linger.ms": 20,
                "compression.type": "lz4",
                "message.max.bytes": 4_000_000,
            }
        )

    def start(self, signature: str) -> Checkpoint:
        """Fence older runs, then return the checkpoint to go on from: a new one if the last run had finished."""
        there = self._connect()
        self._partitions = len(there[self._topics.lifecycle].partitions)
        raw = newest_values(self._bootstrap, self._topics.backfill).get(self._target.encode())
        last = Checkpoint(signature=signature) if raw is None else Checkpoint.decode(raw)
        return Checkpoint(signature=signature) if last.finished or last.signature != signature else last

    def _connect(self) -> dict[str, Any]:
        """Fence older runs and return the cluster's topics; brokers take a moment to know of new ones."""
        end = time.monotonic() + _NEW_TOPIC_S
        try:
            self._producer.init_transactions(_TIMEOUT_S)
            while True:
                there: dict[str, Any] = self._producer.list_topics(timeout=_TIMEOUT_S).topics
                missing = [t for t in (self._topics.lifecycle, self._topics.backfill) if t not in there]
                if not missing:
                    return there
                if time.monotonic() > end:
                    raise Refused(
                        f"the cluster has no topic {missing[0]!r}: start ebbtide first, or mend EBBTIDE_PREFIX"
                    )
                time.sleep(0.1)
        except KafkaException as error:
            why = error.args[0].str()
            raise BackfillInterrupted(f"the Kafka cluster did not answer ({why}): run it again") from error

    def commit(self, page: Page, before: Checkpoint) -> Checkpoint:
        """Send a page and its checkpoint, all or nothing. Raises BackfillInterrupted, BackfillSuperseded."""
        try:
            self._producer.begin_transaction()
            sent = 0
            for batch in to_batches(page.records, self._target):
                self._send(
                    self._topics.lifecycle, batch.org.encode(), self._codec.encode("LifecycleBatch", batch.record())
                )
                sent += 1
            after = Checkpoint(
                signature=before.signature,
                cursor=page.cursor,
                finished=page.cursor is None,
                seen=before.seen + page.seen,
                records=before.records + len(page.records),
                batches=before.batches + sent,
                skipped=dict(Counter(before.skipped) + Counter(page.skipped)),
            )
            self._send(self._topics.backfill, self._target.encode(), after.encode(), partition=0)
            self._producer.commit_transaction(_TIMEOUT_S)
        except KafkaException as error:
            raise self._failed(error) from error
        return after

    def _send(self, topic: str, key: bytes, value: bytes, partition: int | None = None) -> None:
        at = partition_of(key, self._partitions) if partition is None else partition
        while True:
            try:
                self._producer.produce(topic, value, key=key, partition=at)
                self._producer.poll(0)
                return
            except BufferError:  # the local queue is full: let what is there go out first
                self._producer.poll(0.5)

    def _failed(self, error: KafkaException) -> Exception:
        cause = error.args[0]
        if cause.name() in ("_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"):
            return BackfillSuperseded(
                f"another backfill of target {self._target!r} has begun: this one stopped, nothing is lost"
            )
        return BackfillInterrupted(
            f"a page of target {self._target!r} could not be committed ({cause.str()}): run it again, it goes on there"
        )
