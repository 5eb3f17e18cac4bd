"""One partition's transactional producer: the fence at the start, then one Kafka transaction per checkpoint.

confluent-kafka, because a checkpoint holds thousands of records and aiokafka spends some 40 µs of Python on each.
Every call blocks, so `streams.lane.lane` makes them in the lane's own thread.

The transactional id belongs to the partition, so whoever starts last fences all others (KIP-98); offsets are
committed with the group id alone, so this fence is the only protection, and the lane restores only behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ebbtide.producing import SureProducer
from streams.lane.clients import librdkafka
from streams.lane.exits import ExitCode, LaneHalt
from streams.lane.hooks import LaneHooks, Step
from streams.lane.spec import LaneSpec

TRANSACTION_TIMEOUT_MS = 10_000

_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}

T = TypeVar("T")

_Delivered = Callable[[KafkaError | None, Message], None]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record of a transaction besides the changelog's."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


class Transactions:
    """The transactional producer of one partition's lane. All methods block, and are called from one thread."""

    def __init__(self, spec: LaneSpec, partition: int, hooks: LaneHooks) -> None:
        self._spec = spec
        self._partition = partition
        self._hooks = hooks
        self._producer = SureProducer(
            {
                **librdkafka(spec.bootstrap, spec.client_config),
                "client.id": f"{spec.slot}-lane-{partition}",
                "transactional.id": f"{spec.app_id}-lane-{partition}",
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "acks": "all",
                "linger.ms": 1,
                "batch.size": 1 << 20,
                "message.max.bytes": spec.max_record_bytes + (64 << 10),
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 200,
                "enable.metrics.push": False,
            }
        )
        member = Consumer({**librdkafka(spec.bootstrap, spec.client_config), "group.id": spec.app_id})
        self._group = member.consumer_group_metadata()
        member.close()

    def fence(self) -> None:
        """Fence the partition's former owner; when this returns, its last transaction has been settled."""
        self._patiently(self._producer.init_transactions)

    def commit(self, rows: Mapping[bytes, bytes | None], sends: Iterable[Outgoing], offsets: Mapping[str, int]) -> int:
        """Commit changelog rows, sends and source offsets as one; return the offset of the last changelog record.

        An aborted transaction is tried again as it was, for `spec.commit_patience_s`. Raises LaneHalt(FENCED), or
        KafkaException when the patience ends or nothing can help.
        """
        sends = list(sends)
        deadline = time.monotonic() + self._spec.commit_patience_s
        while True:
            try:
                return self._once(rows, sends, offsets)
            except KafkaException as error:
                if not error.args[0].txn_requires_abort() or time.monotonic() > deadline:
                    raise self._judged(error) from error
            self._patiently(self._producer.abort_transaction)

    def close(self) -> None:
        """Let go of the broker; a transaction that is open is left to its timeout."""
        self._producer.close()

    def _once(self, rows: Mapping[bytes, bytes | None], sends: list[Outgoing], offsets: Mapping[str, int]) -> int:
        reached: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is None and offset is not None:
                reached.append(offset)

        self._hooks.on_step(self._partition, Step.BEGIN)
        self._producer.begin_transaction()
        self._hooks.on_step(self._partition, Step.PRODUCE)
        try:
            self._hand_over(rows, sends, delivered)
        except KafkaException as error:
            # The transaction has ended, be it fenced: what follows says why, `produce` does not.
            if error.args[0].code() not in (KafkaError._STATE, KafkaError._FATAL):
                raise
        self._hooks.on_step(self._partition, Step.OFFSETS)
        passed = [TopicPartition(topic, self._partition, offset) for topic, offset in offsets.items()]
        self._patiently(lambda left: self._producer.send_offsets_to_transaction(passed, self._group, left))
        self._hooks.on_step(self._partition, Step.COMMIT)
        self._patiently(self._producer.commit_transaction)
        if not reached:
            raise LaneHalt(ExitCode.FAILED, f"{self._spec.changelog}/{self._partition}: committed without an offset")
        return reached[-1]

    def _hand_over(self, rows: Mapping[bytes, bytes | None], sends: list[Outgoing], delivered: _Delivered) -> None:
        last = len(rows) - 1
        for number, (key, value) in enumerate(rows.items()):
            # The producer is idempotent, so the last record of a partition has the highest offset.
            self._produce(
                Outgoing(self._spec.changelog, self._partition, key, value, []), delivered if number == last else None
            )
        for send in sends:
            self._produce(send, None)

    def _produce(self, send: Outgoing, callback: _Delivered | None) -> None:
        while True:
            try:
                self._producer.produce(
                    send.topic, send.value, send.key, send.partition, headers=send.headers, on_delivery=callback
                )
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def _patiently(self, call: Callable[[float], T]) -> T:
        """Make a call again while librdkafka says that the same call may succeed."""
        deadline = time.monotonic() + self._spec.commit_patience_s
        while True:
            left = deadline - time.monotonic()
            try:
                return call(max(left, 1.0))
            except KafkaException as error:
                if not error.args[0].retriable() or left <= 0:
                    raise self._judged(error) from error
                time.sleep(0.01)

    def _judged(self, error: KafkaException) -> Exception:
        cause: KafkaError = error.args[0]
        if cause.code() not in _FENCED:
            return error
        return LaneHalt(ExitCode.FENCED, f"{self._spec.app_id} partition {self._partition}: {cause.str()}")
