"""The exporter's loop: one piece of work after the other, written to the bucket, then committed.

    consume ─▶ check ─▶ part: store ─▶ bucket ─▶ one Kafka transaction: ExportPart, Answer, source offset
                        manifest, expire: bucket ─▶ one Kafka transaction: Answer, (tombstones,) source offset

What is committed is never done again; what is not is done from its beginning. The part that comes next is written
(`streams.exporter.making`) while the one in hand is finished, and committed when its turn comes. A store
that does not answer keeps its work here while the group membership lives on. Any failure of a transaction ends the
process: a commit whose outcome is unknown must not be followed by another under the same sequence.
`tests/integration/exporter/` says what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Message

from ebbtide.wire import WireError
from schemas.errors import Refused, Retry
from sinks.base import PlanBroken, Sink, SinkUnavailable, Write
from streams.exporter.answers import Answers
from streams.exporter.audited import archived, audited, expired
from streams.exporter.bucket import SINK, ExportBucket
from streams.exporter.finish import Finisher
from streams.exporter.hooks import ExporterHooks, NoHooks
from streams.exporter.inbox import ExporterFailed, Inbox
from streams.exporter.making import AT_ONCE, GivenUp, Make, Making, Place
from streams.exporter.manifest import Part, PartsMissing
from streams.exporter.names import record_key
from streams.exporter.partlog import PartLog
from streams.exporter.parts import PartWriter
from streams.exporter.spec import ExporterSpec
from streams.exporter.tally import Place as List
from streams.exporter.tally import Tally
from streams.exporter.work import EXPIRE, MANIFEST, PART, BadWork, Work
from streams.runner.transaction import DeadLetter, KafkaAway, Transactions, dead_letter_writes

log = logging.getLogger(__name__)


class Exporter:
    """Writes what `selections` says until told to stop.

    `sinks` returns the sink of category and target, None where there is no plan.
    """

    def __init__(
        self,
        spec: ExporterSpec,
        sinks: Callable[[str, str], Sink | None],
        bucket: ExportBucket,
        *,
        hooks: ExporterHooks | None = None,
    ) -> None:
        self._spec, self._sinks, self._bucket = spec, sinks, bucket
        self._hooks = hooks or NoHooks()
        self._topics = spec.kafka.topics
        self._writer = PartWriter(bucket, spec.names)
        self._making = Making()
        self._finisher = Finisher(bucket, spec.names, spec.bundle_bytes, self._tick)
        self._log = PartLog(spec.kafka, spec.names, self._tick)
        self._tally = Tally(self._written, time.monotonic)
        self._answers = Answers(
            topic=self._topics.answers,
            codec=spec.kafka.codec,
            writer=spec.writer,
            incarnation=time.time_ns() // 1_000_000,
        )
        self._doing = 0  # the assignment that the work in hand belongs to
        self._ahead: tuple[Message, Work | None] | None = None
        self._cleaned: dict[int, set[int]] = {}
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Raises ExporterFailed, Fenced."""
        self._stop = stop
        self._inbox = Inbox(self._spec.consumer_config(), self._topics.selections, self._on_change)
        self._transactions = Transactions(self._spec.kafka, self._spec.group)
        try:
            with suppress(GivenUp):
                self._until_done(self._open)
            if stop.is_set():
                return
            self._inbox.open()
            told = False
            while not stop.is_set():
                if self._inbox.joined and not told:
                    told = True
                    self._hooks.on_ready()
                message = self._inbox.next()
                if message is not None:
                    self._take(message)
        finally:
            self._inbox.close()
            self._making.close()
            self._bucket.close()

    def _open(self) -> None:
        self._bucket.ensure()
        if not self._bucket.check():
            log.warning("the export bucket keeps no versions: a part that is written twice replaces itself")
        self._transactions.start()

    def _on_change(self) -> None:
        self._making.forget()
        self._ahead = None
        self._cleaned.clear()
        self._tally.clear()

    def _tick(self) -> None:
        """Keep our place in the group, and give the work in hand up if it is not ours any more.

        In this order: to look is what tells that it moved, and nothing may be done in between.
        """
        self._inbox.keep_alive()
        self._go_on(self._doing)

    def _go_on(self, doing: int) -> None:
        """Raise GivenUp if what belongs to assignment `doing` is not ours any more."""
        if self._stop.is_set() or self._inbox.joined != doing:
            raise GivenUp

    def _take(self, message: Message) -> None:
        """Do one message's work, however long it takes."""
        self._doing = self._inbox.joined
        try:
            self._do(message)
        except GivenUp:
            log.info("work given up", extra={"partition": message.partition(), "offset": message.offset()})
        finally:
            self._inbox.go_on()

    # --- doing ---

    def _do(self, message: Message) -> None:
        try:
            work = self._work_of(message)
        except (WireError, BadWork) as error:
            log.error("work that cannot be done", extra={"why": str(error)})
            letter = DeadLetter(message=message, reason="undecodable", detail=str(error))
            self._commit(message, dead_letter_writes(self._spec.kafka, self._transactions, [letter], "ledger"))
            self._hooks.on_dead_letter()
            return
        if work.work == PART:
            self._part(message, work)
        elif work.work == MANIFEST:
            self._manifest(message, work)
        else:
            self._expire(message, work)

    def _work_of(self, message: Message) -> Work:
        if self._ahead is not None and self._ahead[0] is message and self._ahead[1] is not None:
            return self._ahead[1]
        name, record = self._spec.kafka.codec.decode(message.value() or b"")
        if name != "ExportWork":
            raise WireError(f"it is a {name}, not an ExportWork")
        return Work.of(record)

    def _part(self, message: Message, work: Work) -> None:
        began = time.monotonic()
        place = (self._spec.names.mark(work.org, work.request_id), work.partition)
        self._until_done(lambda: self._tally.begin(place, work.seq))
        at, make = self._maker(message, work)
        part: Part | None = self._until_done(lambda: self._making.take(at, make, self._meanwhile), work.target)
        if part is not None:
            written = part
            part = self._until_done(lambda: self._writer.confirm(work, written))
        writes = [self._part_write(work, part)]
        told = self._tally.add(place, part) if part is not None else None
        if work.last:
            told = told or {"parts": work.seq + 1, "targets": {}}  # it has ended: nobody counts it any more
        if told is not None:
            writes.append(self._answer(work, "export" if work.last else "exporting", work.partition, told))
        self._commit(message, writes)
        if part is not None:
            self._hooks.on_part(part, time.monotonic() - began)

    def _maker(self, message: Message, work: Work) -> tuple[Place, Make]:
        """Return a part's place, and what writes it in a thread of its own."""
        partition, offset, doing = int(message.partition() or 0), int(message.offset() or 0), self._doing
        cleaned = self._cleaned.setdefault(partition, set())
        if len(cleaned) < AT_ONCE:
            cleaned.add(offset)  # only the first parts after we came can have been begun by somebody before us

        def make() -> Part | None:
            self._go_on(doing)
            if offset in cleaned:
                self._bucket.abort_unfinished(self._spec.names.part(work) + ".")
            return self._writer.write(work, lambda: self._sink(work), lambda: self._go_on(doing))

        return (partition, offset), make

    def _meanwhile(self) -> None:
        """Keep our place in the group, and let the part that comes next be begun."""
        self._tick()
        message = self._inbox.ahead() if self._making.room else None
        self._go_on(self._doing)  # to read is to look
        if message is None or (self._ahead is not None and self._ahead[0] is message):
            return
        self._ahead = message, None
        with suppress(WireError, BadWork):  # that is said when its turn comes
            work = self._work_of(message)
            self._ahead = message, work
            if work.work == PART:
                self._making.begin(*self._maker(message, work))

    def _written(self, place: List) -> list[Part]:
        mark, partition = place
        parts = self._log.read(mark, self._partition_of(mark))
        return [part for part in parts.values() if part.partition == partition]

    def _sink(self, work: Work) -> Sink | None:
        return self._sinks(work.category, work.target) if work.record_ids else None

    def _manifest(self, message: Message, work: Work) -> None:
        mark, attempts = self._spec.names.mark(work.org, work.request_id), 0

        def finish() -> dict[str, Any]:
            nonlocal attempts
            parts = self._log.read(mark, self._partition_of(mark))
            try:
                return self._finisher.manifest(work, list(parts.values()))
            except PartsMissing as error:
                attempts += 1
                if attempts < self._spec.parts_missing_attempts:
                    raise
                return {"error": str(error)}

        body = self._until_done(finish)
        error = body.pop("error", "") if body else "it has ended"
        answer = self._answer(work, "manifest", int(message.partition() or 0), body, error)
        self._commit(
            message, [answer, audited(self._spec.kafka, self._transactions, work, "archive", archived(body, error))]
        )
        self._hooks.on_archive(MANIFEST)

    def _expire(self, message: Message, work: Work) -> None:
        mark = self._spec.names.mark(work.org, work.request_id)
        body = self._until_done(lambda: self._finisher.expire(work, datetime.now(UTC)))
        partition = self._partition_of(mark)
        parts = self._until_done(lambda: self._log.read(mark, partition))
        writes = [Write(topic=self._topics.export_parts, partition=partition, key=key, value=None) for key in parts]
        writes.append(self._answer(work, "expired", int(message.partition() or 0), body))
        writes.append(audited(self._spec.kafka, self._transactions, work, "archive_expired", expired(body)))
        self._commit(message, writes)
        self._hooks.on_archive(EXPIRE)

    def _until_done(self, act: Callable[[], Any], target: str = SINK) -> Any:
        """Return what `act` returns once it succeeds. Each wait is twice the one before. Raises GivenUp."""
        limits = self._spec.kafka.limits
        wait = limits.backoff_first_s
        while True:
            try:
                return act()
            except (Retry, PlanBroken, Refused) as error:
                away = SINK if isinstance(error, SinkUnavailable) and error.sink == SINK else target
                log.warning("export waits", extra={"target": away, "why": str(error)})
                self._hooks.on_unavailable(away)
            end = time.monotonic() + wait
            while time.monotonic() < end:
                self._tick()
                time.sleep(min(0.1, wait))
            wait = min(wait * 2, limits.backoff_most_s)

    # --- writing ---

    def _part_write(self, work: Work, part: Part | None) -> Write:
        """Return the checkpoint; of an archive that has ended nothing stays, not even that."""
        mark, codec = self._spec.names.mark(work.org, work.request_id), self._spec.kafka.codec
        return Write(
            topic=self._topics.export_parts,
            partition=self._partition_of(mark),
            key=record_key(mark, work.partition, work.seq),
            value=codec.encode("ExportPart", part.record(work.request_id, work.org)) if part else None,
        )

    def _answer(self, work: Work, kind: str, partition: int, body: Mapping[str, Any], error: str = "") -> Write:
        place = self._transactions.partition_for(self._topics.answers, work.org.encode())
        return self._answers.write(work, kind, place, partition, body, error)

    def _partition_of(self, mark: str) -> int:
        return self._transactions.partition_for(self._topics.export_parts, mark.encode())

    def _commit(self, message: Message, writes: list[Write]) -> None:
        topic, partition = str(message.topic()), int(message.partition() or 0)
        try:
            self._transactions.commit(
                writes, {(topic, partition): int(message.offset() or 0) + 1}, self._inbox.consumer
            )
        except KafkaAway as error:
            raise ExporterFailed(f"exporter: {error}; nothing more is written, the next start goes on here") from None
