"""The auditor's loop: intents become entries, heads are signed, and all of it is one Kafka transaction.

    assigned ─▶ the group's offset, once it is settled ─▶ audit-heads to its end ─▶ read on from the position there
    intents ─▶ entries, salts, heads, states, position, offset ─▶ commit ─▶ …

Nothing is remembered but on `audit-heads`, in the same transaction, so a kill anywhere makes neither gap nor repeat.
A partition has one auditor: the group gives it to one, and whoever had it before can commit nothing more (KIP-447: the
offset carries the group's generation; who takes over waits for what is open). A failed transaction ends the process.
Started by `ops.auditor_role`; `tests/integration/test_audit.py` kills it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import suppress

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.client_errors import is_fatal
from schemas.errors import Halt
from sinks.base import Write
from streams.auditor.forgetting import Forgotten
from streams.auditor.hooks import AuditorHooks, NoHooks
from streams.auditor.sequencer import BadIntent, Sequencer
from streams.auditor.spec import AuditorSpec
from streams.runner.transaction import DeadLetter, KafkaAway, Transactions, closed_quietly, dead_letter_writes
from streams.runner.whole import PartitionUnread, read_whole

log = logging.getLogger(__name__)

LAG_EVERY_S = 1.0
REST_S = 60.0
"""So often a quiet partition's position is written down again, if it has moved."""
_WAIT_S = 30.0


class AuditorFailed(Halt):
    """Going on could make a gap or a repeat: the next start goes on from what is committed."""


class Auditor:
    """Sequences the intents of the partitions that are its own."""

    def __init__(self, spec: AuditorSpec, hooks: AuditorHooks | None = None) -> None:
        self._spec, self._hooks = spec, hooks or NoHooks()
        self._topics, self._codec = spec.kafka.topics, spec.kafka.codec
        self._own: dict[int, Sequencer] = {}
        self._assigned = False
        self._ends: dict[int, int] = {}  # up to where nothing was left to be read once
        self._lag_at = self._rest_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Raises AuditorFailed, BadState, Fenced."""
        self._consumer = Consumer(self._spec.consumer_config())
        self._transactions = Transactions(self._spec.kafka, self._spec.group)
        try:
            self._start(stop)
            self._consumer.subscribe([self._topics.audit_intents], on_assign=self._on_assign,
                                     on_revoke=self._on_gone, on_lost=self._on_gone)  # fmt: skip
            told = False
            while not stop.is_set():
                self._work(self._read())
                if self._assigned and not told:
                    told = True
                    self._hooks.on_ready()
        except KafkaAway as error:
            raise AuditorFailed(f"auditor: {error}; nothing of it is written, the next start goes on there") from None
        except PartitionUnread as error:
            raise AuditorFailed(f"auditor: {error}") from None
        finally:
            closed_quietly(self._consumer)

    def _start(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._transactions.start()
                return
            except KafkaAway as error:
                log.warning("auditor waits", extra={"why": str(error)})
                stop.wait(1.0)

    # --- which partitions ---

    def _on_gone(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._own.clear()
        self._ends.clear()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Restore what is ours. Asking for the committed offset waits until nobody's transaction is open on it."""
        self._on_gone(consumer, partitions)
        places = []
        try:
            committed = consumer.committed(partitions, _WAIT_S) if partitions else []
        except KafkaException as error:
            raise AuditorFailed(f"auditor: the group's offsets cannot be read now ({error.args[0].name()})") from None
        settled = {place.partition: place.offset for place in committed}
        for place in partitions:
            sequencer = Sequencer(place.partition, self._topics, self._codec, self._spec.key, self._spec.seed)
            for message in read_whole(self._spec.kafka, self._topics.audit_heads, place.partition):
                sequencer.restore(message.key() or b"", message.value())
            offset = settled[place.partition]
            if offset >= 0 and offset != sequencer.next:
                raise AuditorFailed(
                    f"auditor: the group's offset of {place.topic}/{place.partition} is {offset}, and the audit logs "
                    f"stand at {sequencer.next}: somebody has moved one of them; put the group's offset back"
                )
            self._own[place.partition] = sequencer
            begin = OFFSET_BEGINNING if sequencer.next is None else sequencer.next
            places.append(TopicPartition(place.topic, place.partition, begin))
        consumer.assign(places)
        self._assigned = True
        log.info("audit logs restored", extra={"partitions": sorted(self._own)})

    # --- one transaction ---

    def _read(self) -> list[Message]:
        found = []
        for message in self._consumer.consume(self._spec.intents, self._spec.wait_s):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ends[int(message.partition() or 0)] = int(message.offset() or 0)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise AuditorFailed(
                    f"auditor: {self._topics.audit_intents}/{message.partition()} no longer has the intent that comes "
                    "next: effects would be without their entry; see docs/audit.md, Failure cases"
                )
            elif is_fatal(error):
                raise AuditorFailed(f"auditor: its consumer cannot go on ({error.name()}): another has its place")
            else:
                log.warning("kafka client", extra={"why": error.name()})
        return found

    def _work(self, messages: list[Message]) -> None:
        began = time.monotonic()
        letters: list[DeadLetter] = []
        following: dict[int, int] = {}
        newest = 0
        for message in messages:
            partition, offset = int(message.partition() or 0), int(message.offset() or 0)
            sequencer = self._own.get(partition)
            if sequencer is None or offset < max(following.get(partition, 0), sequencer.next or 0):
                continue
            try:
                sequencer.take(message.value() or b"", message.timestamp()[1])
            except BadIntent as error:
                log.error("an intent that is none", extra={"partition": partition, "offset": offset, "why": str(error)})
                letters.append(DeadLetter(message=message, reason="undecodable", detail=str(error)))
            following[partition] = offset + 1
            newest = max(newest, message.timestamp()[1])
        if not following and time.monotonic() >= self._rest_at:
            following = self._passed()
        if following:
            self._rest_at = time.monotonic() + REST_S
            self._commit(following, letters, newest, began)
        if time.monotonic() >= self._lag_at:
            self._lag_at = time.monotonic() + LAG_EVERY_S
            self._hooks.on_lag(self._waiting())

    def _passed(self) -> dict[int, int]:
        """Return how far quiet partitions have been read: what lies between is markers and aborted records alone, and
        written down, so that retention that takes them does not look as if it had taken intents."""
        own = self._own
        return {p: end for p, end in self._ends.items() if p in own and end > (own[p].next or 0)}

    def _commit(self, following: dict[int, int], letters: list[DeadLetter], newest: int, began: float) -> None:
        writes: list[Write] = dead_letter_writes(self._spec.kafka, self._transactions, letters, "auditor")
        kinds, heads = Counter[str](), 0
        for partition, offset in following.items():
            closed = self._own[partition].close(offset)
            for gone in closed.forgotten:
                writes += self._shredded(gone, partition)
            writes += closed.writes
            kinds += closed.kinds
            heads += closed.heads
        offsets = {(self._topics.audit_intents, partition): offset for partition, offset in following.items()}
        self._transactions.commit(writes, offsets, self._consumer)
        if kinds:
            self._hooks.on_entries(kinds, heads, newest, time.monotonic() - began)
        for _ in letters:
            self._hooks.on_dead_letter()

    def _shredded(self, gone: Forgotten, partition: int) -> list[Write]:
        """Return what destroys all that was written of a log; takes as long as reading the partition's salts."""
        writes = []
        for topic in (self._topics.audit_salts, self._topics.certificates):
            records = read_whole(self._spec.kafka, topic, partition)
            writes += gone.tombstones(self._topics, topic, partition, records)
        return writes

    def _waiting(self) -> int:
        """Return how many intents are known to wait; of aborted ones and markers it knows nothing."""
        waiting = 0
        for partition, sequencer in self._own.items():
            with suppress(KafkaException):
                place = TopicPartition(self._topics.audit_intents, partition)
                _, end = self._consumer.get_watermark_offsets(place, cached=True)
                waiting += max(0, end - max(sequencer.next or 0, self._ends.get(partition, 0)))
        return waiting


def run_auditor(spec: AuditorSpec, *, stop: threading.Event, hooks: AuditorHooks | None = None) -> None:
    """Run the auditor until `stop` is set. Raises Halt."""
    Auditor(spec, hooks).run(stop)
