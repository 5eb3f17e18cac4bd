"""Erase once more what a target has erased before: for a store that was brought back from a backup.

    acks     ─▶ what each batch of this target left alone, by row
    erasures ─▶ batches and orders from a moment on ─▶ without those rows, and what is held now ─▶ sink ─▶ asked again

The topic of a target's batches is the ledger of its erasures. Only acknowledged batches are done again, and of
these only the rows that went: what a target left alone went back to the ledger, which may have kept it since. Batches
that nobody has acknowledged are the runner's, which comes to them by itself. Nothing is acknowledged here, and the
runner's positions stay where they are: the store sees a source of its own. Used by `ops.cli.reapply`;
`tests/integration/targets/test_reapply.py` says what it promises.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ops.reading import read_to_end
from schemas.acks import acks_of
from schemas.errors import Refused, Retry
from sinks.base import Job, Sink, Source, Span, Unfinished
from sinks.batch import Batch
from sinks.consumer import ConsumerSink
from sinks.gone import Unknown
from sinks.holding import HOLD
from sinks.s3 import S3Sink
from streams.runner.brake import Brake, Holds, NoHolds
from streams.runner.reading import Piece, Reader
from streams.runner.spec import RunnerSpec
from streams.runner.transaction import KafkaAway, Transactions

_WAIT_S: Final = 30.0
_TRIES: Final = 6
T = TypeVar("T")


@dataclass(slots=True)
class Reapplied:
    """What was done. Rows: `found` again, `changed` of them erased, `held` by a legal hold, `left` as they refused,
    `residual` still there.

    `whole`: the topics reach back to the moment asked for. `unknown`: batches of which the store cannot say whether
    they are gone; `unacknowledged`: those that are the runner's; `unplanned`: those the data map has no plan for now.
    """

    target: str
    whole: bool = True
    batches: int = 0
    orders: int = 0
    found: int = 0
    changed: int = 0
    held: int = 0
    left: int = 0
    residual: int = 0
    unknown: int = 0
    unacknowledged: int = 0
    unplanned: int = 0

    @property
    def proven(self) -> bool:
        """Whether all that had been erased since then is known to be gone from the store."""
        return self.whole and not (self.held or self.left or self.residual or self.unknown or self.unplanned)


def reapply(
    spec: RunnerSpec,
    sink: Sink,
    *,
    since_ms: int,
    holds: Holds | None = None,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> Reapplied:
    """Apply again what `sink` has erased from `since_ms` on (broker's time, UTC), but for what `holds` covers; `told`
    gets messages read, of all.

    Raises SinkUnavailable, ViewTooOld, KafkaAway, TopicUnreadable: run it again, which does no harm; Refused: the store
    does not fit the data map, or is an outside service's; PlanBroken.
    """
    with closing(sink):
        if isinstance(sink, ConsumerSink):
            raise Refused(
                f"target {sink.name!r} is an outside service, which has its erasures in a topic of its own: let it "
                f"read {spec.topics.outbox(sink.name)} again from its backup's time on"
            )
        if isinstance(sink, S3Sink) and holds is not None:
            sink.under(holds.now)
        sink.check()
        try:
            return _Again(spec, sink, since_ms, holds or NoHolds(), told).run()
        except KafkaException as error:
            raise KafkaAway(f"the brokers do not answer ({error.args[0].name()}): run it again") from None


def _without(batch: Batch, rows: Collection[int]) -> Batch | None:
    """Return a batch without some of its rows, None if none is left."""
    if not rows:
        return batch
    ids = tuple(record for row, record in enumerate(batch.record_ids) if row not in rows)
    return replace(batch, record_ids=ids) if ids else None


class _Again:
    """One run over one target's batches."""

    def __init__(
        self, spec: RunnerSpec, sink: Sink, since_ms: int, holds: Holds, told: Callable[[int, int], None]
    ) -> None:
        self._spec, self._sink, self._since_ms, self._told = spec, sink, since_ms, told
        self._topic = spec.topics.erasures(sink.name)
        group = f"{spec.group(sink.name)}-reapply"
        self._consumer = Consumer(spec.consumer_config(group))  # never joins: it asks for offsets, and names a group
        self._transactions = Transactions(spec, group)
        self._reader = Reader(spec, sink)
        self._brake = Brake(sink, holds)
        self._left: Mapping[bytes, frozenset[int]] = {}
        self._done = Reapplied(target=sink.name)

    def run(self) -> Reapplied:
        with closing(self._consumer):
            self._transactions.start()
            self._left = self._rows_left()
            starts, size = self._range(self._topic)
            cluster = str(self._consumer.list_topics(self._topic, timeout=_WAIT_S).cluster_id)
            self._source = Source(cluster, f"{self._topic}#reapply-{uuid.uuid4()}")
            if self._sink.positions is not None:
                self._sink.positions.adopt(self._source, starts)
            self._read(starts, size)
            self._brake.forget(self._source)
        return self._done

    def _read(self, starts: Mapping[int, int], size: int) -> None:
        """Do what the messages say, in order: some batches at once, an order alone, as the runner does."""
        limits = self._spec.limits
        piece, rows, ends = Piece(), 0, dict(starts)
        for number, message in enumerate(read_to_end(self._spec.bootstrap, self._topic, since=starts), 1):
            read = self._reader.read(message)
            if read.is_question:  # it changes nothing
                continue
            if read.goes_alone:
                self._carry_out(piece)
                piece, rows = Piece(), 0
            partition, offset = int(message.partition() or 0), int(message.offset() or 0)
            rows += self._reader.take(piece, read, partition)
            first = piece.spans[partition].first if partition in piece.spans else ends[partition]
            piece.spans[partition] = Span(first, offset + 1)
            ends[partition] = offset + 1
            if piece.alone or len(piece.jobs) == limits.batches or rows >= limits.records:
                self._carry_out(piece)
                piece, rows = Piece(), 0
            self._told(min(number, size), size)
        self._carry_out(piece)

    def _carry_out(self, piece: Piece) -> None:
        order, done = piece.order, self._done
        done.unplanned += len(piece.letters)
        if order is not None:
            hidden = self._persevering(lambda: self._sink.hide(self._source, order, piece.spans))
            done.orders += 1
            done.left += hidden.failed
        elif piece.spans:
            jobs = [replace(job, batch=b) for job in piece.jobs if (b := self._to_do(job.batch)) is not None]
            self._erase(jobs, piece.spans)

    def _erase(self, jobs: Sequence[Job], spans: Mapping[int, Span]) -> None:
        outcomes = self._persevering(lambda: self._brake.apply(self._source, jobs, spans))
        writes = [write for outcome in outcomes for write in outcome.writes]
        tombstones = [erased for outcome in outcomes for erased in outcome.tombstones]
        if writes or tombstones:
            self._transactions.commit(writes, {}, self._consumer, tombstones)
        done = self._done
        for job, receipt in zip(jobs, [outcome.receipt for outcome in outcomes], strict=True):
            assert receipt is not None  # outside services, which answer later, are not done again here
            held = {outcome.row for outcome in receipt.withheld if outcome.reason == HOLD}
            done.batches += 1
            done.found += receipt.found
            done.changed += receipt.changed
            done.held += len(held)
            done.left += len(receipt.withheld) - len(held) + len(receipt.failed)
            self._verify(job.batch, held)

    def _verify(self, batch: Batch, held: Collection[int]) -> None:
        """Ask the store whether a batch is gone, but for rows that are held."""
        rest = _without(batch, held)
        residual = 0 if rest is None else self._sink.verify(rest)
        if isinstance(residual, Unknown):
            self._done.unknown += 1
        else:
            self._done.residual += residual

    def _to_do(self, batch: Batch) -> Batch | None:
        """Return what of a batch is to be done again."""
        left = self._left.get(bytes.fromhex(batch.id))
        if left is None:
            self._done.unacknowledged += 1
            return None
        return _without(batch, left)

    def _rows_left(self) -> dict[bytes, frozenset[int]]:
        """Return by batch id what this target left alone. A batch that is not there was never acknowledged."""
        found: dict[bytes, frozenset[int]] = {}
        starts, _ = self._range(self._spec.topics.acks)
        for message in read_to_end(self._spec.bootstrap, self._spec.topics.acks, since=starts):
            for ack in acks_of(*self._spec.codec.decode(message.value() or b"")):
                if ack["target"] == self._sink.name and ack["outcome"] == "applied":
                    rows = frozenset(outcome["row"] for outcome in (*ack["withheld"], *ack["failed"]))
                    found[bytes.fromhex(ack["batch_id"])] = rows
        return found

    def _range(self, topic: str) -> tuple[dict[int, int], int]:
        """Return where a topic's partitions stood at the moment, and about how many messages came after it."""
        partitions = self._consumer.list_topics(topic, timeout=_WAIT_S).topics[topic].partitions
        asked = [TopicPartition(topic, partition, self._since_ms) for partition in partitions]
        starts, size = {}, 0
        for at in self._consumer.offsets_for_times(asked, _WAIT_S):
            low, high = self._consumer.get_watermark_offsets(at, _WAIT_S, cached=False)
            starts[at.partition] = high if at.offset < 0 else max(at.offset, low)
            size += high - starts[at.partition]
            # Where the first message that is left is younger, nobody knows what lay before it.
            self._done.whole &= low == 0 or starts[at.partition] > low
        return starts, size

    def _persevering(self, act: Callable[[], T]) -> T:
        """Do `act`; a store that is away is asked again some times, one that is not done as often as it says."""
        wait, tries = self._spec.limits.backoff_first_s, 1
        while True:
            try:
                return act()
            except Unfinished:
                continue
            except Retry:
                if tries == _TRIES:
                    raise
            tries += 1
            time.sleep(wait)
            wait = min(wait * 2, self._spec.limits.backoff_most_s)
