"""The loop of the projector: read five compacted topics, write rows and positions in one transaction.

    in reserve ─▶ lead ─▶ positions ─▶ assign ─▶ read ─▶ fold ─▶ dead letters acknowledged, rows, positions ─▶ commit
        ▲                                          └──────────────── again ◀──────────────────────────────────┘ │
        └─────────────── PostgreSQL away, positions moved by a rebuild: begin again from the positions ◀────────┘

Nothing is remembered but in PostgreSQL, so a kill anywhere repeats at most a dead letter. Started by `ops.roles`;
`tests/integration/api/test_projector.py` says what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from ebbtide.partition import partition_of
from ebbtide.producing import SureProducer, problem_of
from schemas.client_errors import is_fatal
from schemas.errors import Halt, Refused, Retry
from streams.projector.fold import Folder, Unreadable
from streams.projector.rows import Change
from streams.projector.spec import NoHooks, ProjectorHooks, ProjectorSpec
from streams.projector.store import Place, ReadModel, Span, read_model

log = logging.getLogger(__name__)

_WAIT_S = 30.0
REFUSED_BY_STORE = "bad_value"


class TopicsAway(Retry):
    """The brokers did not answer, or a topic is not there."""


class OffsetGone(Halt):
    """A topic no longer has the offset that comes next: it was made anew, or lost records."""


@dataclass(frozen=True, slots=True)
class _Letter:
    """A record that can never be a row."""

    message: Message = field(repr=False)
    reason: str


@dataclass(slots=True)
class _Piece:
    """What was read in one go."""

    messages: list[Message] = field(default_factory=list, repr=False)
    spans: dict[Place, Span] = field(default_factory=dict)


def run_projector(spec: ProjectorSpec, *, stop: threading.Event, hooks: ProjectorHooks | None = None) -> None:
    """Project until `stop` is set. Raises Halt: the topics are not those that the tables were made from."""
    told = hooks or NoHooks()
    wait = spec.limits.backoff_first_s
    while not stop.is_set():
        began = time.monotonic()
        try:
            with read_model(spec.dsn) as model:
                _Projector(spec, model, told).run(stop)
        except (Retry, Refused) as error:
            log.warning("projector begins again: %s", error)
            told.on_unavailable()
            if time.monotonic() - began > spec.limits.backoff_most_s:
                wait = spec.limits.backoff_first_s
            stop.wait(wait)
            wait = min(wait * 2, spec.limits.backoff_most_s)


class _Projector:
    """One connection's work: over as soon as the connection, or its right to write, is."""

    def __init__(self, spec: ProjectorSpec, model: ReadModel, hooks: ProjectorHooks) -> None:
        self._spec, self._model, self._hooks = spec, model, hooks
        self._folder = Folder(spec.topics, spec.codec)
        self._names = self._folder.names()
        self._next: dict[Place, int] = {}

    def run(self, stop: threading.Event) -> None:
        while not self._model.lead():
            self._hooks.on_works(False)
            if stop.wait(self._spec.limits.reserve_s):
                return
        consumer = Consumer(self._spec.consumer_config())
        try:
            self._assign(consumer)
            self._letters = _Letters(self._spec)
            self._hooks.on_works(True)
            while not stop.is_set():
                piece = self._read(consumer)
                if piece.spans:
                    self._write(piece)
        finally:
            with suppress(KafkaException, RuntimeError):
                consumer.close()

    def _assign(self, consumer: Consumer) -> None:
        try:
            metadata = consumer.list_topics(timeout=_WAIT_S)
        except KafkaException as error:
            raise TopicsAway(f"the brokers do not answer ({error.args[0].name()})") from None
        places: list[Place] = []
        for topic in self._names:
            found = metadata.topics.get(topic)
            if found is None or found.error is not None:
                raise TopicsAway(f"topic {topic} is not there: run `ebbtide rules apply`, or check the role's rights")
            places += [(topic, partition) for partition in found.partitions]
        positions = self._model.start(str(metadata.cluster_id), self._spec.topics.prefix, places)
        self._next = {place: positions[place] for place in places}
        consumer.assign([TopicPartition(t, p, offset or OFFSET_BEGINNING) for (t, p), offset in self._next.items()])

    def _read(self, consumer: Consumer) -> _Piece:
        """Read what is there, waiting a moment for the first; an end that moved past markers alone counts too."""
        piece = _Piece()
        first = consumer.poll(self._spec.limits.wait_s)
        found = [] if first is None else [first, *consumer.consume(self._spec.limits.records - 1, 0.0)]
        for message in found:
            place = (message.topic() or "", message.partition() or 0)
            error, reached = message.error(), message.offset() or 0
            if error is None:
                piece.messages.append(message)
                reached += 1
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise OffsetGone(
                    f"topic {place[0]}, partition {place[1]} has no offset {self._next.get(place)}: was the topic made "
                    "anew? `ebbtide rebuild` makes the tables again from what is there"
                )
            elif error.code() != KafkaError._PARTITION_EOF:
                if is_fatal(error):
                    raise OffsetGone(f"the consumer cannot go on ({error.name()}): start the projector again")
                log.warning("kafka client", extra={"why": error.name()})
                continue
            if reached > self._next[place]:
                begun = piece.spans.get(place)
                piece.spans[place] = Span(begun.first if begun else self._next[place], reached)
        return piece

    def _write(self, piece: _Piece) -> None:
        began = time.monotonic()
        letters: list[_Letter] = []
        readable: list[Message] = []
        records: list[Sequence[Change]] = []
        for message in piece.messages:
            try:
                changes = self._folder.changes(message.topic() or "", message.key() or b"", message.value())
            except Unreadable as error:
                letters.append(_Letter(message, error.reason))
            else:
                readable.append(message)
                records.append(changes)
        stale = self._model.write(
            piece.spans, records, refused=partial(self._tell_refused, letters=letters, readable=readable)
        )
        self._next.update({place: span.next for place, span in piece.spans.items()})
        self._hooks.on_write(time.monotonic() - began, stale)
        self._count(piece.messages, letters)

    def _tell_refused(self, indexes: Sequence[int], *, letters: list[_Letter], readable: Sequence[Message]) -> None:
        letters += [_Letter(readable[index], REFUSED_BY_STORE) for index in indexes]
        if letters:
            self._letters.send(letters)

    def _count(self, messages: Sequence[Message], letters: Sequence[_Letter]) -> None:
        counts = Counter(message.topic() or "" for message in messages)
        newest: dict[str, int] = {}
        for message in messages:
            topic = message.topic() or ""
            newest[topic] = max(newest.get(topic, 0), message.timestamp()[1])
        for topic, count in counts.items():
            self._hooks.on_records(self._names[topic], count, newest[topic])
        for letter in letters:
            self._hooks.on_dead_letter(self._names[letter.message.topic() or ""], letter.reason)


class _Letters:
    """The producer of dead letters: `send` returns once the brokers have them all."""

    def __init__(self, spec: ProjectorSpec) -> None:
        self._spec = spec
        self._producer = SureProducer(spec.producer_config())

    def send(self, letters: Sequence[_Letter]) -> None:
        """Raises TopicsAway: none of them counts."""
        topic = self._spec.topics.dead_letters
        failed: list[str] = []
        try:
            partitions = len(self._producer.list_topics(topic, timeout=_WAIT_S).topics[topic].partitions)
            for letter in letters:
                key, value = self._record(letter)
                self._producer.produce(
                    topic, value, key, partition_of(key, partitions), on_delivery=_noting(failed)
                )  # fmt: skip
            left = self._producer.flush(_WAIT_S)
        except (KafkaException, BufferError, ZeroDivisionError) as error:
            raise TopicsAway(f"a dead letter could not be sent ({type(error).__name__})") from None
        if left or failed:
            raise TopicsAway("a dead letter was not acknowledged")
        for letter in letters:
            log.error(
                "a record cannot be read",
                extra={"topic": letter.message.topic(), "offset": letter.message.offset(), "reason": letter.reason},
            )

    def _record(self, letter: _Letter) -> tuple[bytes, bytes]:
        message = letter.message
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        record = {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "reason": letter.reason,
            "detail": str(Unreadable(letter.reason)),
            "producer": "projector",
            "seen_at": message.timestamp()[1],
            "payload": self._spec.seal.close(
                message.value() or b"", topic=topic, partition=partition, offset=offset
            ),
        }  # fmt: skip
        return topic.encode(), self._spec.codec.encode("DeadLetter", record)


def _noting(failed: list[str]) -> Callable[[KafkaError | None, Message], None]:
    def delivered(error: KafkaError | None, message: Message) -> None:
        if problem := problem_of(error, message):
            failed.append(problem)

    return delivered
