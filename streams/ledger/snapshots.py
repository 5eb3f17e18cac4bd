"""Lists that are being made, and rows that leave their place before a list has come to them: copied on the way out.

A list (`selects`) shows an org as it was at the end of one entry, `since`, and is made in Steps while everything else
goes on. Rows that lie still are listed where they lie; a row that is moved or taken out while it is still ahead of a
list's cursor is caught here and listed at the end of the same entry; what was written after `since` is passed over. So
each row that was there is listed once, and nothing waits for a list.

    rows of a key      catch_segment, catch_row     before they are removed, or marked dead
    moved in a queue   moved                        from ahead of a cursor to behind it
    batches            sent, catch_batch            sent since: their rows were caught; given back: they leave again
    derived records    follows                      taken from where they lie by a mark, not by a removal

Used by whatever moves rows (segments, waiting, stranded, pending, cut, children); without a list that is being made,
each costs a look at one number. `tests/unit/streams/ledger/test_selects.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.columns import Columns
from streams.ledger import keys
from streams.ledger.keys import SegmentKey
from streams.ledger.rows import PendingHead, Row
from streams.ledger.state import Work

PHASES: Final = (b"", keys.KEPT, keys.AGAIN, keys.FORCED, keys.PENDING, keys.STRANDED, keys.SEGMENT)
"""Where a list looks, in this order; the first waits until packs are sorted out. What is put aside as stranded was
caught in its segment, so that phase comes before."""
_PLACE: Final = {kind: number for number, kind in enumerate(PHASES)}
_DONE: Final = b"d"
_SENT: Final = b"n"


@dataclass(slots=True)
class Run(Row):
    """How far a list is. `asked`: the log offset of its entry, which names its rows; `since`: of the entry at the end
    of which the org is shown, -1: not yet.

    `orders`: the records are ordered, so that the list waits while too many orders are not answered. `plan`: they are
    counted for the brake, and only what lies in segments.
    `packs`: the log offset up to which packs must be sorted out first. `cursor`: the key (hex) where `phase` goes on.
    `seq`: parts sent; `listed`: records by target, as they were sent.
    """

    asked: int
    turn: int
    packs: int = -1
    since: int = -1
    phase: int = 0
    cursor: str = ""
    seq: int = 0
    listed: dict[str, int] = field(default_factory=dict)
    orders: bool = False
    plan: bool = False

    @property
    def scratch(self) -> bytes:
        """The prefix of the rows that only this list has."""
        return keys.SCRATCH + keys.u64(self.asked)

    def is_ahead(self, key: bytes) -> bool:
        """Whether the list has not come to a key yet."""
        place = _PLACE[key[:1]]
        return place > self.phase or (place == self.phase and key >= bytes.fromhex(self.cursor))


class Caught(NamedTuple):
    """Rows that leave before `run` (its key) came to them: a row of `kind` as it lies, or columns in a place.

    `dead`: of a segment the row of its dead rows. `target`: the one that columns lie in. `sources`: what they are
    derived from.
    """

    run: bytes
    key: bytes
    value: bytes = b""
    dead: bytes | None = None
    columns: Columns | None = None
    category: str = ""
    target: str = ""
    sources: Columns | None = None


def running(work: Work, org: str) -> Iterator[tuple[bytes, Run]]:
    """Yield the org's lists that show a state before this entry."""
    if not work.clock.selects:
        return
    for key, _ in list(work.store.scan(keys.SELECT + keys.text(org))):
        run = work.row(key, Run)
        if run is not None and 0 <= run.since < work.offset:
            yield key, run


def catch_segment(work: Work, key: SegmentKey, value: bytes, kind: bytes = keys.SEGMENT) -> None:
    """Catch a whole segment that is about to be removed or to lose rows, once."""
    if not work.clock.selects:
        return
    raw = key.pack(kind)
    for name, run in running(work, key.org):
        if key.pos.offset <= run.since and run.is_ahead(raw) and not is_done(work, run, key.pack()):
            work.store.put(run.scratch + _DONE + key.pack(), b"")
            work.caught.append(Caught(name, raw, value, work.store.get(key.pack(keys.DEAD))))


def is_done(work: Work, run: Run, key: bytes) -> bool:
    """Whether what lies at a key was listed before: a segment was caught (whatever kind it is of now), or a queue's row
    had its turn where it lay before."""
    return work.store.get(run.scratch + _DONE + key) is not None


def catch_row(work: Work, org: str, key: bytes, value: bytes) -> None:
    """Catch a queue's row that is about to be taken out."""
    if not work.clock.selects:
        return
    for name, run in running(work, org):
        if offset_of(key) <= run.since and run.is_ahead(key) and not is_done(work, run, key):
            work.caught.append(Caught(name, key, value))


def moved(work: Work, org: str, old: bytes, new: bytes, value: bytes) -> None:
    """Catch a queue's row that keeps its position and goes from ahead of a list to behind it, or note one that goes
    the other way."""
    if not work.clock.selects:
        return
    for name, run in running(work, org):
        if offset_of(old) > run.since:
            continue
        was_listed = not run.is_ahead(old) or is_done(work, run, old)
        if run.is_ahead(new) and was_listed:
            work.store.put(run.scratch + _DONE + new, b"")
        elif not run.is_ahead(new) and not was_listed:
            work.caught.append(Caught(name, old, value))


def offset_of(key: bytes) -> int:
    """Return the log offset that a queue's row was written by."""
    if key[:1] == keys.FORCED:
        return keys.read_forced(key)[0].offset
    return keys.read_position(key[-12:]).offset


def sent(work: Work, org: str, key: bytes) -> None:
    """Note a batch that is sent now: its rows were caught where they lay."""
    if not work.clock.selects:
        return
    for _, run in running(work, org):
        work.store.put(run.scratch + _SENT + key[1:], b"")


def is_new(work: Work, run: Run, key: bytes) -> bool:
    """Whether a batch was sent after the state that the list shows."""
    return work.store.get(run.scratch + _SENT + key[1:]) is not None


def catch_batch(work: Work, key: bytes, head: PendingHead, columns: Columns) -> None:
    """Catch rows of a batch that its target gives back, or that is withdrawn."""
    if not work.clock.selects or not len(columns):
        return
    target = keys.read_pending(key)[0]
    for name, run in running(work, head.org):
        if run.is_ahead(key) and not is_new(work, run, key):
            work.caught.append(Caught(name, key, columns=columns, category=head.category, target=target))


def follows(work: Work, org: str, category: str, target: str, columns: Columns, sources: Columns) -> None:
    """Catch derived records that are queued behind their `sources`. They may have been listed where they lay: then
    twice, which is better than not at all."""
    if not work.clock.selects:
        return
    for name, _ in running(work, org):
        caught = Caught(name, keys.AGAIN, columns=columns, category=category, target=target, sources=sources)
        work.caught.append(caught)
