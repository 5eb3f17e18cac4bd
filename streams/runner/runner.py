"""The loop of one target: read batches, apply them to the store, acknowledge row by row.

    consume ─▶ decode, ahead ─▶ holds looked at ─▶ sink.apply (one store transaction, with its position)
                      ─▶ one Kafka transaction: acks, other writes, source offsets; beside the next piece where the
                         store keeps its position

Nothing is committed in Kafka before the store has committed, and what the store has committed it does not do again:
a crash anywhere repeats at most an ack, and the ledger drops that. A store that does not answer keeps its batches
here; the group membership lives on. `tests/integration/targets/` says what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ebbtide.wire import WireError
from schemas.errors import Reject, Retry
from sinks.base import Sink, Source, Span, Unfinished, Write
from sinks.batch import Receipt
from sinks.hiding import HideOrder
from sinks.kafka import KafkaSink
from streams.runner.acks import ack_writes
from streams.runner.behind import Behind
from streams.runner.brake import Brake, Holds, NoHolds
from streams.runner.fetched import Fetched
from streams.runner.held_up import HeldUp
from streams.runner.hooks import NoHooks, RunnerHooks
from streams.runner.keeping import Keeper
from streams.runner.pace import Pace
from streams.runner.reading import Piece, Reader
from streams.runner.spec import RunnerSpec
from streams.runner.start import Known, StoreRestored, start_of
from streams.runner.transaction import KafkaAway, Transactions, assign, closed_quietly, dead_letter_writes
from streams.runner.verifying import BoundTold, ask

log = logging.getLogger(__name__)

_WAIT_S = 30.0
_AT_ONCE = 16
"""Messages that are asked of the client in one call."""


class TargetRunner:
    """Runs one sink until told to stop."""

    def __init__(
        self,
        spec: RunnerSpec,
        sink: Sink,
        *,
        hooks: RunnerHooks | None = None,
        may_work: Callable[[], bool] = lambda: True,
        holds: Holds | None = None,
    ) -> None:
        self._spec = spec
        self._sink = sink
        self._brake = Brake(sink, holds or NoHolds())
        self._hooks = hooks or NoHooks()
        self._may_work = may_work
        self._reader = Reader(spec, sink)
        self._bound = BoundTold(sink)
        self._held_up = HeldUp(spec, sink)
        self._keeper = Keeper(spec, sink, self._hooks)
        self._topic = spec.topics.erasures(sink.name)
        self._group = spec.group(sink.name)
        self._assigned: list[int] = []
        self._joined = 0  # grows with every change of the assignment
        self._settled = 0  # the assignment whose starts are known
        self._next: dict[int, int] = {}
        self._fetched = Fetched(self._reader.read)
        self._behind = Behind()
        self._pace = Pace(limit=spec.limits.records, timeout_s=spec.limits.transaction_s)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Raises Halt when going on would break a promise."""
        self._consumer = Consumer(self._spec.consumer_config(self._group))
        self._transactions = Transactions(self._spec, self._group)
        if isinstance(self._sink, KafkaSink):
            self._sink.ahead_to(self._transactions.ahead)
        try:
            for _ in self._until_done(stop, self._open):
                pass
            self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke,
                                     on_lost=self._on_revoke)  # fmt: skip
            while not stop.is_set():
                self._turn(stop)
            with suppress(Retry):
                self._behind.settle()
        finally:
            closed_quietly(self._consumer)
            self._fetched.close()
            self._behind.close()
            self._sink.close()

    def _open(self) -> None:
        self._sink.check()
        self._transactions.start()
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=_WAIT_S)
        except KafkaException as error:
            raise KafkaAway(f"the brokers do not answer ({error.args[0].name()})") from None
        if metadata.topics[self._topic].error is not None:
            raise KafkaAway(f"topic {self._topic} is not there: create it, or check the role's rights")
        self._source = Source(str(metadata.cluster_id), self._topic)

    def _turn(self, stop: threading.Event) -> None:
        if self._assigned and self._settled != self._joined:
            for _ in self._until_done(stop, self._settle_starts):
                self._keep_alive()
                if self._settled == self._joined:
                    return
            return
        if not self._may_work():
            with suppress(Retry):
                self._behind.settle()
            self._stand_still(stop)
            return
        if self._assigned:
            self._keeper.turn(self._transactions, self._consumer)
        piece = self._read()
        joined = self._joined
        waits = self._until_done(
            stop,
            lambda: self._carry_out(piece),
            may=self._may_work,
            on_retry=lambda error: self._tell_why(piece, error),
        )
        for _ in waits:
            with self._paused():
                for _ in waits:
                    self._keep_alive()
                    if joined != self._joined:
                        return  # the partitions are somebody else's: so are the batches

    def _stand_still(self, stop: threading.Event) -> None:
        """Keep the place in the group, and the batches where they are, until work is allowed again."""
        with self._paused():
            while not self._may_work() and not stop.wait(0.1):
                self._keep_alive()

    def _until_done(
        self,
        stop: threading.Event,
        act: Callable[[], None],
        *,
        may: Callable[[], bool] = lambda: True,
        on_retry: Callable[[Retry], None] = lambda _: None,
    ) -> Iterator[None]:
        """Do `act` until it succeeds; yield every moment while waiting. Each wait is twice the one before.

        What takes several tries, or several calls, goes on only as long as `may` says that it may.
        """
        wait = self._spec.limits.backoff_first_s
        while not stop.is_set():
            if not may():
                stop.wait(0.1)
                yield
                continue
            try:
                act()
            except Unfinished:
                self._hooks.on_up()
                wait = self._spec.limits.backoff_first_s
                yield
            except Retry as error:
                log.warning("target not available", extra={"target": self._sink.name, "why": str(error)})
                self._hooks.on_unavailable(type(error).__name__, wait)
                on_retry(error)
                end = time.monotonic() + wait
                while time.monotonic() < end and not stop.wait(min(0.1, wait)):
                    yield
                wait = min(wait * 2, self._spec.limits.backoff_most_s)
            else:
                return

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Read no further while the store is away: `_keep_alive` then sees rebalances, and no messages."""
        paused = self._reading()
        with suppress(KafkaException):
            self._consumer.pause(paused)
        yield
        with suppress(KafkaException):
            self._consumer.resume(self._reading())

    def _reading(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, p) for p in self._assigned] if self._settled == self._joined else []

    def _keep_alive(self) -> None:
        """Let the client see rebalances, so that it keeps its place in the group."""
        self._fetch(1, 0.0)

    # --- assignment ---

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._joined += 1
        self._assigned = sorted(tp.partition for tp in partitions)
        self._fetched.clear()
        self._behind.forget()
        consumer.assign([])  # nothing is read before the store has said how far it is: `_settle_starts`

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._joined += 1
        self._assigned = []
        self._fetched.clear()
        self._behind.forget()
        consumer.unassign()

    def _settle_starts(self) -> None:
        """Find where each partition goes on, and start reading there."""
        positions = self._sink.positions
        stored = positions.read(self._source, self._assigned) if positions else {}
        starts: dict[int, int] = {}
        try:
            committed = self._consumer.committed([TopicPartition(self._topic, p) for p in self._assigned], _WAIT_S)
            for tp in committed:
                low, high = self._consumer.get_watermark_offsets(tp, _WAIT_S, cached=False)
                known = Known(
                    keeps=positions is not None,
                    stored=stored.get(tp.partition),
                    committed=tp.offset if tp.offset >= 0 else None,
                    log_start=low,
                    log_end=high,
                )
                starts[tp.partition] = self._start(tp.partition, known)
        except KafkaException as error:
            raise KafkaAway(f"the brokers do not answer ({error.args[0].name()})") from None
        if positions:
            positions.adopt(self._source, {p: offset for p, offset in starts.items() if stored[p] is None})
        reading = [TopicPartition(self._topic, p, offset) for p, offset in starts.items()]
        assign(self._consumer, reading)
        self._next = starts
        self._settled = self._joined

    def _start(self, partition: int, known: Known) -> int:
        try:
            return start_of(self._sink.name, partition, known)
        except StoreRestored:
            oldest = self._oldest_batch(partition, known.log_start)
            record = {"batch_id": oldest, "target": self._sink.name, "level": "none", "outcome": "restored"}
            self._transactions.commit(ack_writes(self._spec, [(partition, record)]), {}, self._consumer)
            raise

    def _oldest_batch(self, partition: int, log_start: int) -> str:
        """Return the id of the first batch that a partition still has, zeros where it has none."""
        self._consumer.assign([TopicPartition(self._topic, partition, log_start)])
        for message in self._reader.valid(self._consumer.consume(1, 5.0)):
            with suppress(WireError, Reject):
                return self._reader.decode(message).id
        return "0" * 32

    # --- reading ---

    def _read(self) -> Piece:
        """Take what was fetched, at most what one transaction may hold; wait a moment where nothing was."""
        limits = self._spec.limits
        joined = self._joined
        if self._fetched.empty and self._fetch(1, limits.linger_s):
            self._fetch(min(_AT_ONCE, limits.batches) - 1, limits.gather_s)
        self._read_ahead()
        gathered = time.monotonic() + limits.gather_s
        piece = Piece()
        taken = 0
        while joined == self._joined and (read := self._fetched.first()) is not None:
            if not self._reader.fits(piece, read):
                break
            self._fetched.pop()
            partition, offset = int(read.message.partition() or 0), int(read.message.offset() or 0)
            piece.records += self._reader.take(piece, read, partition)
            taken += 1
            span = piece.spans.get(partition)
            piece.spans[partition] = Span(span.first if span else self._next[partition], offset + 1)
            if piece.records >= self._most(piece) or taken >= limits.batches or piece.alone:
                break
            if not self._fetched.ready and time.monotonic() > gathered:
                break  # the store need not wait for long for what is not decoded yet
        self._next.update({partition: span.next for partition, span in piece.spans.items()})
        return piece

    def _most(self, piece: Piece) -> int:
        """Return how many records a piece may have. Only a Kafka target's deletes work in an open transaction."""
        paced = isinstance(self._sink, KafkaSink) and bool(piece.jobs) and not piece.rewrites
        return self._pace.most if paced else self._spec.limits.records

    def _read_ahead(self) -> None:
        """Fetch what is there already: it is decoded while the store works on the next piece."""
        while self._fetched.coming_bytes < self._spec.limits.ahead_bytes and self._fetch(_AT_ONCE, 0.0):
            pass

    def _fetch(self, most: int, wait_s: float) -> bool:
        """Fetch some messages; return whether there were any. What an assignment that has ended gave is dropped: it is
        read again from the store's position."""
        joined = self._joined
        messages = self._reader.valid(self._consumer.consume(most, wait_s)) if most > 0 else []
        if joined == self._joined == self._settled:
            self._fetched.add(messages)
        return bool(messages)

    # --- doing ---

    def _carry_out(self, piece: Piece) -> None:
        """Apply and acknowledge. Raises Retry: do the same again, whatever part of it was done."""
        if not piece.jobs:
            self._behind.settle()  # what comes now would commit offsets beyond theirs
        if piece.order is not None:
            self._obey(piece, piece.order)
        elif piece.questions:
            self._answer(piece)
        elif piece.spans:
            try:
                self._erase(piece)
            except Retry:
                self._transactions.give_up()  # what was written ahead
                raise

    def _erase(self, piece: Piece) -> None:
        began = time.monotonic()
        outcomes = self._brake.apply(self._source, piece.jobs, piece.spans)
        self._hooks.on_up()
        self._hooks.on_applied(len(outcomes), sum(j.batch.rows for j in piece.jobs), time.monotonic() - began)
        receipts = [(job.partition, o.receipt) for job, o in zip(piece.jobs, outcomes, strict=True) if o.receipt]
        receipts += piece.refused
        writes = [write for outcome in outcomes for write in outcome.writes]
        within = {"gone_within_s": self._bound.within_s()} if receipts else {}
        acks = [(partition, receipt.ack(self._sink.name) | within) for partition, receipt in receipts]
        writes += ack_writes(self._spec, acks)
        writes += dead_letter_writes(self._spec, self._transactions, piece.letters, "ledger")
        offsets = {(self._topic, partition): span.next for partition, span in piece.spans.items()}
        tombstones = [erased for outcome in outcomes for erased in outcome.tombstones]
        told = [receipt for _, receipt in receipts]
        if self._sink.positions is None:  # its offsets are its position, and what it writes is in their transaction
            self._transactions.commit(writes, offsets, self._consumer, tombstones)
            self._acknowledged(piece, told)
            return
        self._behind.settle()
        member = self._consumer.consumer_group_metadata()
        self._behind.begin(
            lambda: self._transactions.commit_as(member, writes, offsets), lambda: self._acknowledged(piece, told)
        )

    def _acknowledged(self, piece: Piece, receipts: Sequence[Receipt]) -> None:
        if isinstance(self._sink, KafkaSink):
            self._sink.written()
            if not piece.rewrites:
                self._pace.took(piece.records, self._transactions.open_s)
        self._held_up.carried_out()
        for receipt in receipts:
            self._hooks.on_receipt(receipt)
        for letter in piece.letters:
            self._hooks.on_dead_letter(letter.reason)

    def _tell_why(self, piece: Piece, error: Retry) -> None:
        """Tell the ledger what batches wait for. Where that cannot be told either, the next try says it."""
        writes = self._held_up.writes(piece.jobs, error)
        try:
            if writes:
                self._transactions.commit(writes, {}, self._consumer)
        except Retry:
            self._held_up.carried_out()

    def _obey(self, piece: Piece, order: HideOrder) -> None:
        """Hide or bring back, and acknowledge. Raises Retry, as `_carry_out`."""
        hidden = self._sink.hide(self._source, order, piece.spans)
        self._hooks.on_up()
        ((partition, span),) = piece.spans.items()
        value = self._spec.codec.encode("HideAck", hidden.ack(order))
        ack = Write(topic=self._spec.topics.acks, partition=partition, key=order.id.encode(), value=value)
        self._transactions.commit([ack], {(self._topic, partition): span.next}, self._consumer)
        self._hooks.on_hidden(order.action, hidden)

    def _answer(self, piece: Piece) -> None:
        """Ask the store whether batches are gone, and say so. Raises Retry, as `_carry_out`: nothing is said then."""
        found = ask(self._sink, piece.questions)
        if any(said.known for said in found):
            self._hooks.on_up()
        if self._sink.positions is not None:
            self._sink.apply(self._source, [], piece.spans)  # the store's own position passes them
        writes = []
        for question, said in zip(piece.questions, found, strict=True):
            value = self._spec.codec.encode("VerifyAck", said.ack(question))
            key = question.batch.id.encode()
            writes.append(Write(topic=self._spec.topics.acks, partition=question.partition, key=key, value=value))
        writes += dead_letter_writes(self._spec, self._transactions, piece.letters, "ledger")
        offsets = {(self._topic, partition): span.next for partition, span in piece.spans.items()}
        self._transactions.commit(writes, offsets, self._consumer)
        for said in found:
            self._hooks.on_verified(said.level, said.left)
        for letter in piece.letters:
            self._hooks.on_dead_letter(letter.reason)


def run_sink(
    spec: RunnerSpec,
    sink: Sink,
    *,
    stop: threading.Event,
    hooks: RunnerHooks | None = None,
    may_work: Callable[[], bool] = lambda: True,
    holds: Holds | None = None,
) -> None:
    """Run `sink` until `stop` is set; while `may_work` says no, nothing is applied, and what `holds` covers never.

    Raises Halt, Refused.
    """
    TargetRunner(spec, sink, hooks=hooks, may_work=may_work, holds=holds).run(stop)
