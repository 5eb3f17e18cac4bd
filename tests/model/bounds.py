"""Bounds that no batch shows: how much one step handles, and how long dead rows stay.

`Metered` counts beneath the ledger what an entry takes out, marks or puts in; `DeadRows` looks at the rows of each
evening. Used by the simulator and its lane; what the rows say of each other is held in `sums`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from streams.lane.overlay import Overlay, Rows
from streams.ledger import keys, rows, segments, waiting
from streams.ledger.rows import PendingHead, ProofHead, Segment

DEAD_DAYS = 7
"""So many days after it died at most the bytes of a row are in its segment."""
_QUEUES = (keys.AGAIN, keys.FORCED, keys.KEPT)


@dataclass(slots=True)
class Handled:
    """What one entry did, in records: each row that it took out or marked, and what it put into each bucket.

    `proofs` and `unproofs`: the (target, batch id) of each proof row that it put and dropped; `anew`: which rows of a
    batch it takes for records that were made anew.
    """

    taken: list[int] = field(default_factory=list)
    made: dict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    proofs: set[tuple[str, str]] = field(default_factory=set)
    unproofs: list[tuple[str, str]] = field(default_factory=list)
    anew: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def over(self, bound: int, sent: Mapping[str, int]) -> str:
        """Return what was too much, "": nothing. `bound` is what may be handled but for the last row or bucket."""
        made = list(self.made.values())
        most = max(sum(self.taken), sum(made), *sent.values(), 0)
        last = max([segments.MAX_SEGMENT, *self.taken, *made])
        if most < bound + last:
            return ""
        return f"a step handled {most} records: less than {bound} and then one row or bucket of {last} were allowed"


class Metered(Overlay):
    """The overlay that a ledger works on; `handled` is what has been done since `meter`."""

    __slots__ = ("handled",)

    def __init__(self, disk: Rows) -> None:
        super().__init__(disk)
        self.handled = Handled()

    def meter(self) -> None:
        self.handled = Handled()

    def put(self, key: bytes, value: bytes) -> None:
        kind = key[:1]
        if kind == keys.SEGMENT:
            self.handled.made[keys.read_segment(key).bucket.pack()] += Segment.unpack(value).count
        elif kind == keys.DEAD:
            marked = self.get(keys.SEGMENT + key[1:])
            assert marked is not None, "rows are dead of a segment that is not there"
            self.handled.taken.append(Segment.unpack(marked).count)
        elif kind == keys.PROOF:
            name, head = keys.read_pending(key), ProofHead.unpack(rows.split(value)[0])
            self.handled.proofs.add(name)
            if head.cursor is None:
                self.handled.anew[name] = list(head.anew)
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        kind, old = key[:1], self.get(key)
        if old is not None and kind in (keys.SEGMENT, keys.STRANDED):
            self.handled.taken.append(Segment.unpack(old).count)
        elif old is not None and kind in _QUEUES:
            self.handled.taken.append(waiting.read(old)[0].count)
        elif old is not None and kind == keys.PENDING:
            self.handled.taken.append(PendingHead.unpack(rows.split(old)[0]).count)
        elif old is not None and kind == keys.PROOF:
            self.handled.unproofs.append(keys.read_pending(key))
        super().delete(key)


class DeadRows:
    """The dead rows of one partition, and since which of its evenings each is dead."""

    def __init__(self) -> None:
        self._since: dict[tuple[bytes, int], int] = {}

    def late(self, today: int, state: Iterable[tuple[bytes, bytes]]) -> str:
        """Return what an evening's rows of kind DEAD hold for too long, "": nothing."""
        self._since = {
            (key, row): self._since.get((key, row), today)
            for key, value in state
            for row in np.frombuffer(value, np.dtype("<u2"), offset=4).tolist()
        }
        oldest = min(self._since.values(), default=today)
        if today - oldest < DEAD_DAYS:
            return ""
        return f"day {today}: rows that are dead since day {oldest} are in their segment still"
