"""Writes the gateway's transactions, each in the background while the next pack is read and made.

One at a time: a transaction is begun only after the one before is committed, so what follows in the log follows in the
sources too. Made and fed by `streams.gateway.run`; `tests/integration/gateway/` says what both promise, kills included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ebbtide.producing import SureProducer
from streams.gateway.clients import ANSWER_S, halt
from streams.gateway.reading import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message of a transaction."""

    topic: str
    partition: int
    value: bytes = field(repr=False)
    key: bytes | None = field(default=None, repr=False)
    headers: Sequence[tuple[str, bytes]] = ()


class Writer:
    """The transactional producer. All methods are called from the one thread that reads `consumer`, too.

    A failure of a transaction is raised by the next call as GatewayFailed. `settle` must be called before the group
    may give a partition to another: what is under way would be refused afterwards, or written twice.
    """

    def __init__(self, producer: SureProducer, consumer: Consumer) -> None:
        self._producer, self._consumer = producer, consumer
        self._thread = ThreadPoolExecutor(1, "gateway-commit")
        self._under_way: tuple[Future[None], Callable[[], None]] | None = None

    def write(self, messages: Sequence[Outgoing], following: Mapping[Place, int], *, told: Callable[[], None]) -> None:
        """Settle what is under way, then begin to write `messages` and the offsets that follow what they were made of.

        `told` is called in this thread, by a later call, once they are committed.
        """
        self.settle()
        try:
            self._producer.begin_transaction()
            for m in messages:
                self._producer.produce(
                    m.topic, value=m.value, key=m.key, partition=m.partition, headers=list(m.headers)
                )
        except (KafkaException, BufferError) as e:
            raise halt("its transaction", e) from None
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in following.items()]
        # Asked here: it names the generation in which these messages were read.
        member = self._consumer.consumer_group_metadata() if offsets else None
        self._under_way = self._thread.submit(self._commit, offsets, member), told

    def settle(self) -> None:
        """Wait until what is under way is committed."""
        if self._under_way is not None:
            done, told = self._under_way
            self._under_way = None
            done.result()
            told()

    def close(self) -> None:
        """Let go of the thread, after what it is at. Raises nothing: what was not settled is read again."""
        self._thread.shutdown()

    def _commit(self, offsets: list[TopicPartition], member: object) -> None:
        try:
            if offsets:
                self._producer.send_offsets_to_transaction(offsets, member, ANSWER_S)
            self._producer.commit_transaction(ANSWER_S)
        except KafkaException as e:
            raise halt("its transaction", e) from None
