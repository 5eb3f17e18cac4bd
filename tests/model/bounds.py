"""Bounds that no batch shows: how much one step handles, how long dead rows stay, and that nothing outlives its record.

`Metered` counts beneath the ledger what an entry takes out, marks or puts in; `DeadRows` looks at the rows of each
evening; `check_rows` holds a state's rows against each other. Used by the simulator and its lane.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.columns import Columns
from schemas.frames import Pack
from streams.lane.overlay import Overlay, Rows
from streams.ledger import again, children, keys, rows, segments
from streams.ledger.marks import Marks
from streams.ledger.rows import ClockRow, PendingHead, Segment

DEAD_DAYS = 7
"""So many days after it died at most the bytes of a row are in its segment."""


@dataclass(slots=True)
class Handled:
    """What one entry did, in records: each row that it took out or marked, and what it put into each bucket.

    `forced` are the batches, by (target, id), whose records follow their sources.
    """

    taken: list[int] = field(default_factory=list)
    made: dict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    forced: set[tuple[str, str]] = field(default_factory=set)

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
        elif kind == keys.PENDING and PendingHead.unpack(rows.split(value)[0]).forced:
            self.handled.forced.add(keys.read_pending(key))
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        kind, old = key[:1], self.get(key)
        if old is not None and kind in (keys.SEGMENT, keys.STRANDED):
            self.handled.taken.append(Segment.unpack(old).count)
        elif old is not None and kind in (keys.AGAIN, keys.FORCED):
            self.handled.taken.append(again.AgainHead.unpack(rows.split(old)[0]).count)
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


def check_rows(state: Mapping[bytes, bytes]) -> None:
    """Hold counts against what they count, and what is kept of a record against the record. Raises AssertionError."""
    clock = ClockRow.unpack(state[keys.CLOCK])
    found: dict[bytes, int] = defaultdict(int)
    for key in state:
        found[key[:1]] += 1
    counted = {
        keys.BLOCKED: clock.blocked,
        keys.AGAIN: clock.again,
        keys.FORCED: clock.forced,
        keys.DEAD: clock.dead,
        keys.DEAD_SINCE: clock.dead,
        keys.MERGE: clock.merges,
        keys.MERGE_MARKS: clock.mark_merges,
    }
    wrong = {kind: (count, found[kind]) for kind, count in counted.items() if count != found[kind]}
    assert not wrong, f"counts (counted, there are) are wrong: {wrong}"
    assert {key[1:] for key in state if key[:1] == keys.DEAD} <= {k[1:] for k in state if k[:1] == keys.SEGMENT}
    lonely = set(_children(state)) - set(_records(state))
    assert not lonely, f"{len(lonely)} derived records are known by their sources and are gone themselves"


_Place = tuple[str, str, str, str, int]


def _children(state: Mapping[bytes, bytes]) -> Iterator[_Place]:
    for key, value in state.items():
        if key[:1] == keys.CHILD:
            head = children.ChildHead.unpack(value)
            body = Marks(state[keys.CHILD_BODY + key[1:]])
            assert body.columns.parents is not None
            days = (body.clocks // segments.DAY_S).tolist()
            org = keys.read_text(key, 1)[0]
            for name, day in zip(body.columns.parents.texts(), days, strict=True):
                yield org, head.category, head.target, name, day


def _records(state: Mapping[bytes, bytes]) -> Iterator[_Place]:
    """Yield every record that is in the ledger: where it lies, its id and its created day."""
    for key, value in state.items():
        match key[:1]:
            case keys.SEGMENT | keys.STRANDED:
                at, segment = keys.read_segment(key), Segment.unpack(value)
                columns = segments.columns_of(segment)
                dead = np.frombuffer(state.get(at.pack(keys.DEAD), bytes(4)), np.dtype("<u2"), offset=4)
                alive = np.setdiff1d(np.arange(segment.count), dead)
                yield from _placed(at.org, at.category, at.target, columns.take(alive))
            case keys.PACK:
                for group in Pack.decode(value).groups():
                    if group.kind == "record":
                        yield from _placed(group.org, group.category, group.target, group.columns())
            case keys.AGAIN:
                head, body = rows.split(value)
                if not again.AgainHead.unpack(head).forced:
                    _, org, category, target = keys.read_again(key)
                    yield from _placed(org, category, keys.RETURNED + target, again.decode_columns(body))
            case _:
                pass


def _placed(org: str, category: str, target: str, columns: Columns) -> Iterator[_Place]:
    for name, clock in zip(columns.ids.texts(), columns.clocks.tolist(), strict=True):
        yield org, category, target, name, clock // segments.DAY_S
