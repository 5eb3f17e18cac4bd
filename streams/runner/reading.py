"""What a target's messages say: batches and orders decoded, and what cannot be carried out put aside.

Used by `streams.runner.runner`; `tests/integration/targets/` says what it promises.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message

from ebbtide.wire import WireError
from schemas.batches import decode_batch
from schemas.client_errors import is_fatal
from schemas.errors import Halt
from schemas.uuids import Uuids
from sinks.base import Job, NoPlan, Sink, Span
from sinks.batch import ANONYMISE, DELETE, BadBatch, Batch, Receipt
from sinks.hiding import HideOrder
from streams.runner.spec import RunnerSpec
from streams.runner.transaction import DeadLetter, Fenced
from streams.runner.verifying import Question

log = logging.getLogger(__name__)


class OffsetGone(Halt):
    """The topic no longer has the offset that comes next."""


@dataclass(slots=True)
class Piece:
    """What was read in one go and goes through the store in one transaction; with `alone` nothing is added to it.

    Questions whether something is gone go by themselves. `records`: as how many records it counts; `rewrites`: whether
    a job is no delete.
    """

    order: HideOrder | None = None
    alone: bool = False
    records: int = 0
    rewrites: bool = False
    questions: list[Question] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    spans: dict[int, Span] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    refused: list[tuple[int, Receipt]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Read:
    """A message, the name of its schema ("" where it has none), and what it says, or why it says nothing."""

    message: Message
    name: str
    said: Batch | Question | HideOrder | WireError | BadBatch

    @property
    def goes_alone(self) -> bool:
        """Whether it goes through the store alone: an order, of which a batch beside it might concern the same rows."""
        return self.name in ("HideOrder", "RecordOrder")

    @property
    def is_question(self) -> bool:
        """Whether it asks if a batch is gone, and is none itself."""
        return self.name == "VerifyBatch"


class Reader:
    """Reads the messages of one sink's topic. `read` may be called by another thread."""

    def __init__(self, spec: RunnerSpec, sink: Sink) -> None:
        self._spec = spec
        self._sink = sink
        self._topic = spec.topics.erasures(sink.name)

    def valid(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages among what the client gave. Raises Fenced, OffsetGone where it cannot go on."""
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif is_fatal(error):
                raise Fenced(f"the consumer of {self._topic} cannot go on ({error.name()}): start the runner again")
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise OffsetGone(
                    f"topic {self._topic}, partition {message.partition()}: the next offset is no longer there; "
                    "start the runner again: it compares the store's position with the topic"
                )
            else:
                log.warning("kafka client", extra={"target": self._sink.name, "why": error.name()})
        return good

    def read(self, message: Message) -> Read:
        """Decode a message; a bad one is told apart here, and put aside by `take`."""
        name = ""
        try:
            name = self._spec.codec.name_of(message.value() or b"")
            return Read(message, name, self._said(message, name))
        except (WireError, BadBatch) as error:
            return Read(message, name, error)

    def _said(self, message: Message, name: str) -> Batch | Question | HideOrder:
        if name == "HideOrder":
            return self._decode_order(message)
        if name == "VerifyBatch":
            return self._decode_question(message)
        batch = self.decode(message)
        if self._sink.positions is not None:
            _ = batch.digest  # worked out here, and not while the store's transaction is open
        if isinstance(batch.record_ids, Uuids) and (self._sink.positions is None or batch.action != DELETE):
            _ = batch.record_ids.texts  # the same
        return batch

    def fits(self, piece: Piece, read: Read) -> bool:
        """Whether it may be done in one go with what has been taken."""
        if not piece.spans:
            return True
        return not read.goes_alone and read.is_question == bool(piece.questions)

    def take(self, piece: Piece, read: Read, partition: int) -> int:
        """Add one message to `piece`; return as how many records it counts."""
        said = read.said
        if isinstance(said, WireError):
            self._drop(piece, read.message, "undecodable", str(said))
        elif isinstance(said, BadBatch):
            self._drop(piece, read.message, said.reason, str(said))
            if said.batch_id is not None:
                piece.refused.append((partition, Receipt.all_failed(said.batch_id, said.rows)))
        elif isinstance(said, HideOrder):
            piece.order, piece.alone = said, True
        elif isinstance(said, Question):
            piece.questions.append(said)
            return said.batch.rows
        else:
            return self._take_batch(piece, read.message, said, partition)
        return 0

    def _take_batch(self, piece: Piece, message: Message, batch: Batch, partition: int) -> int:
        try:
            self._sink.plan(batch.category, batch.action)
        except NoPlan as error:
            self._drop(piece, message, "no_plan", str(error))
            piece.refused.append((partition, Receipt.all_failed(batch.id, batch.rows)))
            return 0
        piece.jobs.append(Job(batch=batch, partition=partition))
        piece.alone |= batch.action not in (DELETE, ANONYMISE)
        piece.rewrites |= batch.action != DELETE
        return batch.rows * (1 if batch.action == DELETE else self._spec.limits.rewritten_counts)

    def decode(self, message: Message) -> Batch:
        """Return its batch. Raises WireError, BadBatch."""
        codec, value = self._spec.codec, message.value() or b""
        name = codec.name_of(value)
        if name == "ErasureBatch":
            batch = Batch.from_record(decode_batch(codec, value))
        elif name == "RecordOrder":
            batch = Batch.from_order(codec.decode(value)[1], self._spec.values)
        else:
            raise WireError(f"it is a {name}, not an ErasureBatch")
        if batch.target != self._sink.name:
            raise BadBatch("it is for another target, whose batch it is not ours to answer", reason="other_target")
        return batch

    def _decode_question(self, message: Message) -> Question:
        record = self._spec.codec.decode(message.value() or b"")[1]
        question = Question.from_record(record, int(message.partition() or 0))
        if question.batch.target != self._sink.name:
            raise BadBatch("it asks about another target, not ours to answer", reason="other_target")
        return question

    def _decode_order(self, message: Message) -> HideOrder:
        order = HideOrder.from_record(self._spec.codec.decode(message.value() or b"")[1])
        if order.target != self._sink.name:
            raise BadBatch("it is an order to another target, not ours to answer", reason="other_target")
        return order

    def _drop(self, piece: Piece, message: Message, reason: str, detail: str) -> None:
        log.error("a batch cannot be carried out", extra={"target": self._sink.name, "why": detail})
        piece.letters.append(DeadLetter(message=message, reason=reason, detail=detail))
