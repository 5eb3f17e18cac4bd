"""What a ledger says of itself in its topics: how many records are in, what day it has, what is acknowledged.

Pure: messages in, counts out. The changelog and the group's committed offsets, which are of one transaction, tell how
far a partition's durable state is; the log tells how many records lie before that. Fed by `ops.bench.watch`;
`tests/unit/ops/bench/test_view.py` says what it promises.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ebbtide.wire import Codec
from ops.progress import SWEEP, Progress
from schemas.topics import Topics
from streams.lane.position import KEY as POSITION
from streams.lane.position import Position
from streams.ledger import keys
from streams.ledger.rows import ClockRow


@dataclass(slots=True)
class _Partition:
    frames: deque[tuple[int, int]] = field(default_factory=deque)  # (offset, records) not yet passed
    next: int = 0
    taken: int = 0
    clock: ClockRow = field(default_factory=ClockRow)
    progress: Progress | None = None

    def settle(self) -> None:
        while self.frames and self.frames[0][0] < self.next:
            self.taken += self.frames.popleft()[1]


class LedgerView:
    """All partitions of one ledger, from committed messages in the order of each topic's partition."""

    def __init__(self, topics: Topics, partitions: int, codec: Codec) -> None:
        self._topics, self._codec = topics, codec
        self._partitions = [_Partition() for _ in range(partitions)]

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the topics that must be shown to `see`."""
        return self._topics.ledger, self._topics.ledger_changelog, self._topics.progress

    def see(self, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take in one message."""
        if value is None:
            return
        if topic == self._topics.ledger:
            if self._codec.name_of(value) == "Frame":
                at = self._partitions[partition]
                at.frames.append((offset, self._codec.decode(value)[1]["records"]))
                at.settle()
        elif topic == self._topics.progress:
            if key is not None and key.startswith(SWEEP):
                progress = Progress.of(self._codec.decode(value)[1])
                self._partitions[progress.partition].progress = progress
        elif key == POSITION:
            self.reach(partition, Position.decode(value).next.get(self._topics.ledger, 0))
        elif key == keys.CLOCK:
            self._partitions[partition].clock = ClockRow.unpack(value)

    def reach(self, partition: int, following: int) -> None:
        """Take note that the ledger's group has committed all of the log before `following`; below 0 for nothing."""
        at = self._partitions[partition]
        at.next = max(at.next, following)
        at.settle()

    @property
    def records(self) -> int:
        """Return how many records are in the state for good."""
        return sum(at.taken for at in self._partitions)

    @property
    def acknowledged(self) -> int:
        """Return how many records of erasure batches are acknowledged, and that is in the state for good."""
        return sum(at.progress.records_acked for at in self._partitions if at.progress is not None)

    def settled(self, day: int) -> bool:
        """Whether every partition has reached `day` and has no work of its own left: no step is on its way."""
        return all(at.clock.day >= day and not at.clock.stepping for at in self._partitions)

    def swept(self, day: int) -> bool:
        """Whether every partition says that all that was due on `day` is decided and acknowledged."""
        return all(at.progress is not None and at.progress.done(day) for at in self._partitions)
