"""Turns what an outside service answers into acks, in the partition of the batch that is answered.

Runs beside the `TargetRunner` of a `consumer` target, in its own thread and consumer group. A malformed answer goes
to the dead letters, one to a batch that was never handed out, or answered before, is dropped; both are counted, and
neither stops the rest. `tests/integration/targets/test_consumer.py` says what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import Consumer, Message, TopicPartition

from schemas.client_errors import is_fatal
from schemas.errors import Retry
from sinks.consumer import Answer, BadAnswer, ConsumerSink, UnknownAnswer, read_answer
from streams.runner.acks import ack_writes
from streams.runner.hooks import NoHooks, RunnerHooks
from streams.runner.spec import RunnerSpec
from streams.runner.transaction import (
    DeadLetter,
    Fenced,
    Transactions,
    assign,
    closed_quietly,
    dead_letter_writes,
)

log = logging.getLogger(__name__)

_REMEMBERED = 100_000
"""Answered batches whose repeats are dropped here; the ledger drops older ones."""


class AnswerReader:
    """Reads one target's inbox until told to stop."""

    def __init__(self, spec: RunnerSpec, sink: ConsumerSink, *, hooks: RunnerHooks | None = None) -> None:
        self._spec = spec
        self._sink = sink
        self._hooks = hooks or NoHooks()
        self._group = f"{spec.group(sink.name)}-answers"
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._joined = 0  # grows with every change of the assignment
        self._came: list[Message] = []  # while others waited

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Raises Halt."""
        consumer = Consumer({**self._spec.consumer_config(self._group), "auto.offset.reset": "earliest"})
        transactions = Transactions(self._spec, self._group)
        try:
            self._patiently(transactions.start, stop)
            inbox = self._spec.topics.inbox(self._sink.name)
            consumer.subscribe([inbox], on_assign=self._on_assign, on_revoke=self._on_change, on_lost=self._on_change)
            while not stop.is_set():
                messages, self._came = self._came, []
                messages = messages or self._valid(consumer.consume(1_000, self._spec.limits.linger_s))
                if messages:
                    still_ours = partial(self._still_ours, consumer, self._joined)
                    self._patiently(partial(self._settle, messages, transactions, consumer), stop, still_ours)
                    consumer.resume(consumer.assignment())
        finally:
            closed_quietly(consumer)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_change(consumer, partitions)
        assign(consumer, partitions)

    def _on_change(self, _: Consumer, __: list[TopicPartition]) -> None:
        """What is in hand is read again, by whoever has its partition now, from what was committed."""
        self._joined += 1
        self._came = []

    def _still_ours(self, consumer: Consumer, joined: int) -> bool:
        """Keep the place in the group, without reading further; return whether nothing has moved."""
        consumer.pause(consumer.assignment())
        came = self._valid(consumer.consume(1, 0.0))
        self._came += came  # what the client had at hand, or, after a change, the first of what is ours now
        return joined == self._joined

    def _patiently(
        self, act: Callable[[], None], stop: threading.Event, go_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Do `act` until it succeeds, or `go_on`, asked again and again between two tries, says no."""
        wait = self._spec.limits.backoff_first_s
        while not stop.is_set():
            try:
                act()
                return
            except Retry as error:
                log.warning("answers wait", extra={"target": self._sink.name, "why": str(error)})
            end = time.monotonic() + wait
            while time.monotonic() < end and not stop.wait(min(0.1, wait)):
                if not go_on():
                    return
            wait = min(wait * 2, self._spec.limits.backoff_most_s)

    def _valid(self, messages: Sequence[Message]) -> list[Message]:
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif is_fatal(error):
                raise Fenced(f"the consumer of {self._group} cannot go on ({error.name()}): start the runner again")
            else:
                log.warning("kafka client", extra={"target": self._sink.name, "why": error.name()})
        return good

    def _settle(self, messages: Sequence[Message], transactions: Transactions, consumer: Consumer) -> None:
        answers: dict[str, Answer] = {}
        letters: list[DeadLetter] = []
        dropped: list[str] = []
        partitions = transactions.partitions_of(self._spec.topics.acks)
        for message in messages:
            try:
                answer = read_answer(self._sink.replies, message.value())
                if answer.partition >= partitions:
                    raise UnknownAnswer("its partition is not one of ours")
            except BadAnswer as error:
                letters.append(DeadLetter(message=message, reason="malformed_answer", detail=str(error)))
            except UnknownAnswer:
                dropped.append("unknown")
            else:
                known = answers.get(answer.batch_id)
                if answer.batch_id in self._answered or (known is not None and known.receipt is not None):
                    dropped.append("duplicate")
                else:
                    answers[answer.batch_id] = answer
        told = answers.values()
        writes = ack_writes(self._spec, [(answer.partition, answer.ack(self._sink.name)) for answer in told])
        writes += dead_letter_writes(self._spec, transactions, letters, "consumer")
        offsets = {
            (str(message.topic()), int(message.partition() or 0)): int(message.offset() or 0) + 1
            for message in messages
        }
        transactions.commit(writes, offsets, consumer)
        self._tell(answers, letters, dropped)

    def _tell(self, answers: dict[str, Answer], letters: Sequence[DeadLetter], dropped: Sequence[str]) -> None:
        for answer in answers.values():
            if answer.receipt is None:
                self._hooks.on_retry_asked()
            else:
                self._answered[answer.batch_id] = None
                self._hooks.on_receipt(answer.receipt)
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        for letter in letters:
            self._hooks.on_dead_letter(letter.reason)
        for reason in dropped:
            self._hooks.on_answer_dropped(reason)


def run_answers(
    spec: RunnerSpec, sink: ConsumerSink, *, stop: threading.Event, hooks: RunnerHooks | None = None
) -> None:
    """Read `sink`'s inbox until `stop` is set. Raises Halt."""
    AnswerReader(spec, sink, hooks=hooks).run(stop)
