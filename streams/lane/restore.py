"""From an assignment to a lane that may work: read what is committed, complete the local copy, prove they agree.

Runs behind the fence (`Transactions.fence`), in the lane's thread, in the place of Faust's recovery: that one never
finishes on a transactional changelog, and in a rebalance callback heartbeats stand still.

Raises LaneHalt with POSITION, OPEN_TRANSACTION, STATE_AHEAD or TRIMMED. A copy that is ahead of its changelog is not
wiped in silence: behind the fence nothing writes ahead, so either the changelog was made anew (then the copy may be
the last one of the state) or the directory is another cluster's. Both need a person.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.fetching import BULK
from streams.lane.clients import librdkafka
from streams.lane.exits import ExitCode, LaneHalt
from streams.lane.position import KEY as POSITION_KEY
from streams.lane.position import Position
from streams.lane.rocks import Partition
from streams.lane.spec import LaneSpec
from streams.lane.tail import holds_records
from streams.lane.transactions import TRANSACTION_TIMEOUT_MS

_CALL_S = 30.0
_BATCH = 2_000  # records written at once; also how soon a halt is seen


@dataclass(frozen=True, slots=True)
class Restored:
    """`moved`: the position knows more than its row, and is to be written."""

    position: Position
    moved: bool
    rows: int
    seconds: float


def restore(
    spec: LaneSpec, partition: int, local: Partition, *, halted: Callable[[], bool], now: Callable[[], float]
) -> Restored | None:
    """Complete `local` from the changelog; None when `halted` said that the partition is gone again.

    `now` gives seconds since the epoch.
    """
    began = time.monotonic()
    settled, raw = _client(spec, "read_committed"), _client(spec, "read_uncommitted")
    try:
        committed = {
            at.topic: at.offset
            for at in settled.committed([TopicPartition(s.topic, partition) for s in spec.sources], _CALL_S)
            if at.offset >= 0
        }
        logs = {s.topic: _watermarks(settled, s.topic, partition) for s in spec.sources}
        began_s = now()
        start, end = _stable_end(spec, partition, settled, raw)
        at = _resume_at(spec, partition, local.offset(), start, end)
        rows = _replay(settled, TopicPartition(spec.changelog, partition, at), end, local, halted, began_s)
        if rows is None:
            return None
        position = Position.decode(local.get(POSITION_KEY))
        _agree(spec, partition, position, committed, {topic: start for topic, (start, _) in logs.items()})
        moved = False
        for topic, (start, stable) in logs.items():
            floor = position.floor(topic)
            rest = TopicPartition(topic, partition, max(floor, start))
            if floor < stable and holds_records(settled, rest, stable) is False:
                position.empty[topic], moved = stable, True
    finally:
        settled.close()
        raw.close()
    return Restored(position, moved, rows, time.monotonic() - began)


def _agree(
    spec: LaneSpec, partition: int, position: Position, committed: Mapping[str, int], starts: Mapping[str, int]
) -> None:
    """Prove that state and committed offsets agree, and that no log begins behind what is to be read next.

    Offsets that are not there prove nothing: brokers forget those of a group that was away for a week. Reading then
    begins at the log's start, the lane passes over what the state has, and the next checkpoint commits them again.
    """
    for source in spec.sources:
        stands = position.next.get(source.topic, 0)
        where = f"{source.topic}/{partition}"
        if stands != committed.get(source.topic, stands):
            raise LaneHalt(
                ExitCode.POSITION, f"{where}: state stands at {stands}, the group at {committed[source.topic]}"
            )
        # One offset of grace: the marker that ended the last transaction holds no record.
        if starts[source.topic] > position.floor(source.topic) + 1:
            raise LaneHalt(
                ExitCode.TRIMMED, f"{where}: state stands at {stands}, the log begins at {starts[source.topic]}"
            )


def _resume_at(spec: LaneSpec, partition: int, have: int | None, start: int, end: int) -> int:
    """Where to read on: behind what the local copy has."""
    where = f"{spec.changelog}/{partition}"
    at = 0 if have is None else have + 1
    if at > end:
        raise LaneHalt(ExitCode.STATE_AHEAD, f"{where}: the local copy holds offset {have}, the log ends at {end}")
    if start > at:
        raise LaneHalt(ExitCode.TRIMMED, f"{where}: the local copy needs offset {at}, the log begins at {start}")
    return at


def _replay(
    client: Consumer, at: TopicPartition, end: int, local: Partition, halted: Callable[[], bool], began_s: float
) -> int | None:
    """Write all rows from `at` to `end` into `local`; how many there were, None when halted."""
    stamp_s = local.stamp() or began_s  # what is half restored is as old as what it began from
    rows, done = 0, at.offset >= end
    client.assign([at])
    while not done:
        if halted():
            return None
        batch: dict[bytes, bytes | None] = {}
        last = None
        for message in client.consume(_BATCH, 0.1):
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                done = (message.offset() or 0) >= end
                continue
            key, last = message.key(), message.offset()
            assert isinstance(key, bytes)
            value = message.value()
            batch[key] = value if value is None else bytes(value)
            rows += 1
        if last is not None:
            local.write(batch, last, stamp_s)
    if end:
        local.write({}, end - 1, began_s)
    return rows


def _stable_end(spec: LaneSpec, partition: int, settled: Consumer, raw: Consumer) -> tuple[int, int]:
    """The changelog's start and end. Behind the fence no transaction may be open in it."""
    deadline = time.monotonic() + 2 * TRANSACTION_TIMEOUT_MS / 1000
    while True:
        start, end = _watermarks(settled, spec.changelog, partition)
        if _watermarks(raw, spec.changelog, partition)[1] == end:
            return start, end
        if time.monotonic() > deadline:
            raise LaneHalt(
                ExitCode.OPEN_TRANSACTION, f"{spec.changelog}/{partition}: open beyond {end} after the fence"
            )
        time.sleep(0.1)


def _watermarks(client: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset and end of a partition; for a read_committed client the end is the last stable offset."""
    offsets = client.get_watermark_offsets(TopicPartition(topic, partition), _CALL_S)
    if offsets is None:
        raise LaneHalt(
            ExitCode.FAILED, f"{topic}/{partition}: the broker did not tell its offsets within {_CALL_S:g} s"
        )
    low, high = offsets
    return low, high


def _client(spec: LaneSpec, isolation: str) -> Consumer:
    return Consumer(
        {
            **librdkafka(spec.bootstrap, spec.client_config),
            "group.id": spec.app_id,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            **BULK,
            "queued.max.messages.kbytes": 8 << 10,
            "enable.metrics.push": False,
        }
    )
