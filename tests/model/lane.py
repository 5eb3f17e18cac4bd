"""A model of the lane: checkpoints of a real `Ledger` over a real, metered `Overlay` and `Position`, on a fake broker.

Fence, restore from committed changelog rows (into an empty store or one that is behind), then checkpoints: entries,
one transaction, one write of the store. `Fate` says where a checkpoint ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from schemas.bodies import decode_columns
from schemas.sequence import Sequence as Numbered
from streams.lane.position import KEY, Position
from streams.ledger.keys import pending
from streams.ledger.ledger import Ledger
from streams.ledger.rows import PendingHead, split
from streams.reducer import Entry, Send
from tests.model.bounds import Handled, Metered
from tests.model.broker import Draft, Log, Partition, Record, abort, commit
from tests.model.disk import Disk
from tests.support.ledger_log import CODEC, TOPICS


class Fate(Enum):
    """Where a checkpoint ends."""

    DONE = "done"
    LOST = "crash before the commit"
    UNWRITTEN = "crash after the commit, before the store is written"
    WRITTEN = "crash after the store is written"


class Died(Exception):
    """The lane's process is gone."""


class Fenced(Exception):
    """A newer lane has the partition."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One committed entry, what it sent, and how much it did."""

    topic: str
    record: Record
    sends: tuple[Send, ...]
    rows: Mapping[bytes | None, tuple[bool, list[int]]]
    """Of each batch that it sent, by its key: whether it followed a source, and its records' clocks in seconds."""
    handled: Handled


Seen = Callable[[Partition, Sequence[Applied]], None]


class Lane:
    """One assignment of one partition. `seen` is told of every committed entry, once."""

    def __init__(self, broker: Partition, partitions: int, disk: Disk, seen: Seen) -> None:
        broker.epoch += 1
        self.broker = broker
        self.disk = disk
        self._epoch = broker.epoch
        self._seen = seen
        if not disk.through:
            disk.load(broker.compacted, len(broker.changelog))
        for at in range(disk.through, len(broker.changelog)):
            disk.write(broker.changelog[at], at + 1)
        self.position = Position.decode(disk.get(KEY))
        assert self.position.next == broker.committed, "position and committed offsets disagree"
        self._overlay = Metered(disk)
        self._ledger = Ledger(broker.number, partitions, TOPICS, CODEC)

    def unread(self) -> bool:
        return any(self._waiting(topic) for topic in (TOPICS.ledger, TOPICS.acks))

    def _log(self, topic: str) -> Log:
        return self.broker.ledger if topic == TOPICS.ledger else self.broker.acks

    def _waiting(self, topic: str) -> Record | None:
        """Return the next record of a source that this lane has not passed."""
        records, begin = self._log(topic).records, self.position.next.get(topic, 0)
        low, high = 0, len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle].offset < begin:
                low = middle + 1
            else:
                high = middle
        return records[low] if low < len(records) else None

    def checkpoint(self, random: Random, entries: int, fate: Fate = Fate.DONE) -> None:
        """Apply up to `entries` and commit. Raises Died as `fate` says, Fenced, and whatever the ledger raises."""
        applied: list[Applied] = []
        drafts: list[Draft] = []
        for _ in range(entries):
            ready = [t for t in (TOPICS.ledger, TOPICS.acks) if self._waiting(t) is not None]
            if not ready:
                break
            topic = random.choice(ready)
            record = self._waiting(topic)
            assert record is not None
            self.position.next[topic] = record.offset + 1
            if topic == TOPICS.ledger:
                assert record.sequence is not None
                if not self.position.hear(topic, record.offset, record.sequence):
                    continue
            self._overlay.meter()
            sends = tuple(self._ledger.apply(self._overlay, entry_of(self.broker.number, topic, record)))
            applied.append(Applied(topic, record, sends, self._rows(sends), self._overlay.handled))
            drafts += [draft for send in sends if (draft := self._draft(send)) is not None]
        self._commit(applied, drafts, fate)

    def _rows(self, sends: Sequence[Send]) -> dict[bytes | None, tuple[bool, list[int]]]:
        """Read the batches that were sent where the ledger keeps them: what is sent says no clock."""
        found: dict[bytes | None, tuple[bool, list[int]]] = {}
        for send in sends:
            if send.topic.startswith(TOPICS.erasures("")) and CODEC.name_of(send.value or b"") == "ErasureBatch":
                assert send.key is not None
                raw = self._overlay.get(pending(send.topic.removeprefix(TOPICS.erasures("")), send.key.hex()))
                assert raw is not None
                head, body = split(raw)
                found[send.key] = PendingHead.unpack(head).forced, decode_columns(body).clocks.tolist()
        return found

    def _draft(self, send: Send) -> Draft | None:
        assert send.value is not None
        if send.topic == TOPICS.ledger:
            assert send.sequenced
            assert send.partition == self.broker.number
            seq = self.position.tell(send.topic, send.partition)
            return Draft(self.broker.ledger, send.value, Numbered(f"ledger-{send.partition}", 0, seq))
        if send.topic.startswith(TOPICS.erasures("")):
            assert send.partition == self.broker.number
            return Draft(self.broker.erasures[send.topic.removeprefix(TOPICS.erasures(""))], send.value)
        return None  # answers, progress and dead letters are judged by the history alone

    def _commit(self, applied: list[Applied], drafts: list[Draft], fate: Fate) -> None:
        broker, rows = self.broker, self._overlay.pending
        if fate is Fate.LOST or self._epoch != broker.epoch:
            abort(drafts)
            raise Fenced if self._epoch != broker.epoch else Died
        rows[KEY] = self.position.encode()
        broker.log_rows(dict(rows))
        broker.committed = dict(self.position.next)
        commit(drafts, applied[-1].record.log_ms if applied else 0)
        self._seen(broker, applied)
        if fate is Fate.UNWRITTEN:
            raise Died
        self.disk.write(rows, len(broker.changelog))
        self._overlay.clear()
        if fate is Fate.WRITTEN:
            raise Died

    def zombie(self) -> Lane:
        """Return what is left of this lane when another takes over and it has not noticed: its own copy of all."""
        other = object.__new__(Lane)
        other.broker, other.disk, other._epoch, other._seen = self.broker, self.disk.copy(), self._epoch, self._seen
        other.position = Position.decode(other.disk.get(KEY))
        other._overlay = Metered(other.disk)
        other._ledger = self._ledger
        return other


def entry_of(partition: int, topic: str, record: Record) -> Entry:
    """Return what the reducer sees of a record."""
    return Entry(topic=topic, partition=partition, offset=record.offset, log_ms=record.log_ms, value=record.value)
