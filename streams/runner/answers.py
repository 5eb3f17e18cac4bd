"""Turns what an outside service answers into acks, in the partition of the batch that is answered.

Runs beside the `TargetRunner` of a `consumer` target, in its own thread and consumer group. A malformed answer goes
to the dead letters, one to a batch that was never handed out, or answered before, is dropped; both are counted, and
neither stops the rest. `tests/integration/targets/test_consumer.py` says what it promises.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import Consumer, KafkaException, Message

from schemas.errors import Retry
from sinks.consumer import Answer, BadAnswer, ConsumerSink, UnknownAnswer, read_answer
from streams.runner.acks import ack_writes
from streams.runner.hooks import NoHooks, RunnerHooks
from streams.runner.spec import RunnerSpec
from streams.runner.transaction import (
    DeadLetter,
    Fenced,
    KafkaAway,
    Transactions,
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

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Raises Halt."""
        consumer = Consumer({**self._spec.consumer_config(self._group), "auto.offset.reset": "earliest"})
        transactions = Transactions(self._spec, self._group)
        try:
            self._patiently(transactions.start, stop)
            consumer.subscribe([self._spec.topics.inbox(self._sink.name)])
            while not stop.is_set():
                messages = self._valid(consumer.consume(1_000, self._spec.limits.linger_s))
                if messages:
                    self._patiently(partial(self._settle, messages, transactions, consumer), stop)
        finally:
            closed_quietly(consumer)

    def _patiently(self, act: Callable[[], None], stop: threading.Event) -> None:
        wait = self._spec.limits.backoff_first_s
        while not stop.is_set():
            try:
                act()
                return
            except Retry as error:
                log.warning("answers wait", extra={"target": self._sink.name, "why": str(error)})
                stop.wait(wait)
                wait = min(wait * 2, self._spec.limits.backoff_most_s)

    def _valid(self, messages: Sequence[Message]) -> list[Message]:
        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.fatal():
                raise Fenced(f"the consumer of {self._group} cannot go on ({error.name()}): start the runner again")
            else:
                log.warning("kafka client", extra={"target": self._sink.name, "why": error.name()})
        return good

    def _settle(self, messages: Sequence[Message], transactions: Transactions, consumer: Consumer) -> None:
        answers: dict[str, Answer] = {}
        letters: list[DeadLetter] = []
        dropped: list[str] = []
        partitions = self._ledger_partitions(consumer)
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

    def _ledger_partitions(self, consumer: Consumer) -> int:
        topic = self._spec.topics.acks
        try:
            return len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        except KafkaException as error:
            raise KafkaAway(f"the brokers do not answer ({error.args[0].name()})") from None


def run_answers(
    spec: RunnerSpec, sink: ConsumerSink, *, stop: threading.Event, hooks: RunnerHooks | None = None
) -> None:
    """Read `sink`'s inbox until `stop` is set. Raises Halt."""
    AnswerReader(spec, sink, hooks=hooks).run(stop)
