"""One Kafka transaction: records to write, acks, dead letters and the source offsets, all or nothing.

Used by `streams.runner.runner` and `streams.runner.answers`; the integration tests of targets kill in the middle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ebbtide.partition import partition_of
from ebbtide.producing import SureProducer
from schemas.client_errors import is_fatal
from schemas.errors import Halt, Retry
from sinks.base import Tombstones, Write
from streams.runner.spec import RunnerSpec

_WAIT_S = 30.0
_AT_ONCE = 5_000


class KafkaAway(Retry):
    """A transaction was not committed: nothing of it is seen by anybody."""


class Fenced(Halt):
    """Another process has taken this one's place, or the client is broken: only a new process may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that can never succeed. `detail` holds no personal data; the payload is sealed before it leaves."""

    message: Message
    reason: str
    detail: str

    def record(self, spec: RunnerSpec, producer: str) -> dict[str, Any]:
        topic = self.message.topic() or ""
        partition, offset = self.message.partition() or 0, self.message.offset() or 0
        return {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "reason": self.reason,
            "detail": self.detail,
            "producer": producer,
            "seen_at": int(time.time() * 1000),
            "payload": spec.seal.close(self.message.value() or b"", topic=topic, partition=partition, offset=offset),
        }


class Transactions:
    """The transactional producer of one consumer group. Threads take turns: a transaction is one thread's.

    `open_s`: for how many seconds the last one that was committed was open.
    """

    def __init__(self, spec: RunnerSpec, group: str) -> None:
        self._producer = SureProducer(spec.producer_config(group))
        self._partitions: dict[str, int] = {}
        self._started = self._begun = False
        self._began_s = self.open_s = 0.0
        self._turn = threading.Lock()

    def start(self) -> None:
        """Fence whoever had this place before, and end what it left open; once is enough. Raises KafkaAway, Fenced."""
        if self._started:
            return  # the client takes a second time for an error, for ever
        try:
            self._producer.init_transactions(_WAIT_S)
        except KafkaException as error:
            raise _sorted(error) from None
        self._started = True

    def ahead(self, tombstones: Iterable[Tombstones]) -> None:
        """Write what the next `commit` will commit, or `give_up` take back. Raises KafkaAway: as if it had; Fenced."""
        with self._turn:
            try:
                self._begin()
                for erased in tombstones:
                    self._produce_all(erased)
            except KafkaException as error:
                raise self._ended(error) from None

    def give_up(self) -> None:
        """Take back what was written ahead. Raises KafkaAway, Fenced."""
        with self._turn:
            if self._begun:
                self._abort()

    def commit(
        self,
        writes: Iterable[Write],
        offsets: Mapping[tuple[str, int], int],
        consumer: Consumer,
        tombstones: Iterable[Tombstones] = (),
    ) -> None:
        """Write everything and commit. Raises KafkaAway: nothing is written; Fenced."""
        self.commit_as(consumer.consumer_group_metadata(), writes, offsets, tombstones)

    def commit_as(
        self,
        member: object,
        writes: Iterable[Write],
        offsets: Mapping[tuple[str, int], int],
        tombstones: Iterable[Tombstones] = (),
    ) -> None:
        """As `commit`, for the member of the group, and its generation, that a consumer's metadata named."""
        with self._turn:
            self._commit(member, writes, offsets, tombstones)

    def _commit(
        self,
        member: object,
        writes: Iterable[Write],
        offsets: Mapping[tuple[str, int], int],
        tombstones: Iterable[Tombstones],
    ) -> None:
        try:
            self._begin()
            for erased in tombstones:
                self._produce_all(erased)
            for write in writes:
                self._produce(write)
            positions = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
            self._producer.send_offsets_to_transaction(positions, member, _WAIT_S)
            self._producer.commit_transaction(_WAIT_S)
            self._begun, self.open_s = False, time.monotonic() - self._began_s
        except KafkaException as error:
            raise self._ended(error) from None

    def partition_for(self, topic: str, key: bytes) -> int:
        """Return the partition of `key` in a topic that is not written by number. Raises KafkaAway, Fenced."""
        if topic not in self._partitions:
            self._partitions[topic] = self.partitions_of(topic)
        return partition_of(key, self._partitions[topic])

    def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has now, one or more. Raises KafkaAway, Fenced."""
        try:
            found = len(self._producer.list_topics(topic, timeout=_WAIT_S).topics[topic].partitions)
        except KafkaException as error:
            raise _sorted(error) from None
        if not found:
            raise KafkaAway(f"topic {topic} is not there: create it, or check the role's rights")
        return found

    def _produce(self, write: Write) -> None:
        while True:
            try:
                self._producer.produce(
                    write.topic, write.value, write.key, write.partition, headers=list(write.headers)
                )
                return
            except BufferError:
                self._producer.poll(0.1)

    def _produce_all(self, erased: Tombstones) -> None:
        """Hand over many records in one call, whose errors the client puts beside each; its queue may have no room."""
        for first in range(0, len(erased.keys), _AT_ONCE):
            left: list[dict[str, Any]] = [{"key": key} for key in erased.keys[first : first + _AT_ONCE]]
            while self._producer.produce_batch(erased.topic, left, erased.partition) < len(left):
                left = [message for message in left if "_error" in message]
                for message in left:
                    error = message.pop("_error")
                    if error.code() != KafkaError._QUEUE_FULL:
                        raise KafkaException(error)
                self._producer.poll(0.1)

    def _begin(self) -> None:
        if not self._begun:
            self._producer.begin_transaction()
            self._begun, self._began_s = True, time.monotonic()

    def _ended(self, error: KafkaException) -> KafkaAway | Fenced:
        """Return what a client error means, after the transaction is aborted if that is possible."""
        problem = _sorted(error)
        if isinstance(problem, KafkaAway):
            self._abort()
        return problem

    def _abort(self) -> None:
        self._begun = False
        try:
            self._producer.abort_transaction(_WAIT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                raise _sorted(error) from None


def dead_letter_writes(
    spec: RunnerSpec, transactions: Transactions, letters: Sequence[DeadLetter], producer: str
) -> list[Write]:
    """Return the dead letters as records to write. Raises KafkaAway."""
    topic = spec.topics.dead_letters
    writes = []
    for letter in letters:
        key = str(letter.message.topic()).encode()
        value = spec.codec.encode("DeadLetter", letter.record(spec, producer))
        writes.append(Write(topic=topic, partition=transactions.partition_for(topic, key), key=key, value=value))
    return writes


def _sorted(error: KafkaException) -> KafkaAway | Fenced:
    """Sort a client error by what is to be done. Its text names brokers and codes, never a record."""
    cause: KafkaError = error.args[0]
    gone = (KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
    if is_fatal(cause) or cause.code() in gone:
        return Fenced(f"the transactional producer was fenced or is broken ({cause.name()}): start the runner again")
    return KafkaAway(f"the transaction was not committed ({cause.name()}): tried again")


def assign(consumer: Consumer, places: list[TopicPartition]) -> None:
    """Read `places`. The client remembers what was paused before a rebalance, and never forgets it by itself."""
    consumer.assign(places)
    consumer.resume(places)


def closed_quietly(consumer: Consumer) -> None:
    """Leave the group."""
    with suppress(KafkaException, RuntimeError):
        consumer.close()
