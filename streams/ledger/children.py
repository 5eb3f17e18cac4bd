"""Derived records: found by their source when that goes, and made to go with it.

A derived record is a record of its own category, due by its own clock. Beside its segment a child row keeps it under
its source's id (joined by hash, as marks are), for all of its org: what a source's category is, the event does not
say. When the sweep erases the source, the child is taken out of the child row, cancelled where it lies, and queued to
be erased from its targets, never before its own minimum retain has passed. A child's own children follow the same way.
A child that leaves the ledger by itself (sent, or deleted by its producer) is taken out as well, and put back where a
target withholds it: so a child row never outlives its records, nor a producer's delete of one.
Used by intake, acks, merges and by the cut; `tests/unit/streams/ledger/test_children.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from schemas.ragged import items_of
from streams.ledger import due, keys, marks, segments, snapshots, waiting
from streams.ledger.counts import MIN_RETAIN
from streams.ledger.keys import Bucket, Position
from streams.ledger.rows import Row
from streams.ledger.state import DAY_S, Work


@dataclass(slots=True, frozen=True)
class ChildHead(Row):
    """What the children of one row have in common; `made` is the log offset that wrote it."""

    category: str
    target: str
    count: int
    made: int


class Left(NamedTuple):
    """Records of one category and bucket target that are in the ledger no longer."""

    category: str
    target: str
    columns: Columns


class Children(marks.Marks):
    """A child row's body: marks whose id is the source, and whose parents are the children."""

    @cached_property
    def own_hashes(self) -> NDArray[np.uint64]:
        """The children's hashes, row by row (`hashes` are those of their sources)."""
        assert self.columns.parents is not None
        return self.columns.parents.hashes()

    def of(self, sources: _Records) -> NDArray[np.bool_]:
        """Tell which children come from one of `sources`."""
        left = np.searchsorted(self.hashes, sources.hashes, "left")
        counts = np.searchsorted(self.hashes, sources.hashes, "right") - left
        met = np.zeros(len(self.hashes), np.bool_)
        rows = items_of(left, counts)
        if len(rows):
            met[rows] = [name in sources.ids for name in self.columns.ids.take(rows).texts()]
        return met

    def among(self, records: _Records) -> NDArray[np.bool_]:
        """Tell which children are these records, or twins of them: of their id and day, and not later."""
        met: NDArray[np.bool_] = np.isin(self.own_hashes, records.hashes)
        rows = np.flatnonzero(met)
        if len(rows):
            own = _derived(self, rows)
            clocks = zip(own.ids.texts(), own.clocks.tolist(), strict=True)
            met[rows] = [clock <= records.latest.get((name, clock // DAY_S), -1) for name, clock in clocks]
        return met


class _Records:
    """Records to find child rows by: what a search needs of them is made once."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        return np.unique(self.columns.ids.hashes())

    @cached_property
    def ids(self) -> set[str]:
        return set(self.columns.ids.texts())

    @cached_property
    def latest(self) -> dict[tuple[str, int], int]:
        """The latest clock of each id and created day."""
        found: dict[tuple[str, int], int] = {}
        for name, clock in zip(self.columns.ids.texts(), self.columns.clocks.tolist(), strict=True):
            found[name, clock // DAY_S] = max(clock, found.get((name, clock // DAY_S), -1))
        return found


def store(work: Work, bucket: Bucket, columns: Columns) -> None:
    """Keep the rows that have a source under it."""
    if columns.parents is None:
        return
    derived = columns.take(np.flatnonzero(columns.parents.lengths > 0))
    if not len(derived):
        return
    work.ensure_org(bucket.org).children = True
    work.changed.add(bucket.org)
    _write(work, bucket.org, bucket.category, bucket.target, work.position(), derived)


def _write(work: Work, org: str, category: str, target: str, pos: Position, derived: Columns) -> None:
    """Write a child row: as marks whose id is the source, and whose parents are the children."""
    assert derived.parents is not None
    hashes = derived.parents.hashes()
    order = np.argsort(hashes, kind="stable")
    chosen = derived.take(order)
    assert chosen.parents is not None
    turned = Columns(ids=chosen.parents, clocks=chosen.clocks, parents=chosen.ids, subjects=chosen.subjects)
    head = ChildHead(category, target, len(chosen), work.offset)
    suffix = keys.text(org) + pos.pack()
    work.store.put(keys.CHILD + suffix, head.pack())
    work.store.put(keys.CHILD_BODY + suffix, marks.encode_sorted(turned, hashes[order]))


def follow(work: Work, org: str, erased: Columns, left: Left | None = None, requests: Sequence[str] = ()) -> None:
    """Let the children of erased records follow them, and forget children that have left the ledger themselves.

    Those that follow are counted for the same `requests`.
    """
    row = work.org(org)
    if row is None or not row.children or not (len(erased) or (left is not None and len(left.columns))):
        return
    sources, own = _Records(erased), None if left is None else _Records(left.columns)
    prefix = keys.CHILD + keys.text(org)
    stay = False
    for key, value in list(work.store.scan(prefix)):
        suffix = key[1:]
        head = ChildHead.unpack(value)
        body = _load(work, suffix, head)
        following = leaving = body.of(sources)
        if left is not None and own is not None and (left.category, left.target) == (head.category, head.target):
            gone = body.among(own)
            following, leaving = following & ~gone, following | gone
        if not bool(leaving.any()):
            stay = True
            continue
        work.changed.add(org)
        if bool(following.any()):
            _queue(work, org, head, _derived(body, np.flatnonzero(following)), requests, erased)
        work.store.delete(keys.CHILD + suffix)
        work.store.delete(keys.CHILD_BODY + suffix)
        rest = np.flatnonzero(~leaving)
        if len(rest):
            stay = True
            _, pos = keys.read_text(suffix, 0)
            _write(work, org, head.category, head.target, keys.read_position(suffix[pos:]), _derived(body, rest))
    row.children = stay


def of(work: Work, org: str, sources: Columns) -> Iterator[tuple[ChildHead, Columns]]:
    """Yield the children of records by the row they lie in, and change nothing."""
    wanted = _Records(sources)
    for key, value in list(work.store.scan(keys.CHILD + keys.text(org))):
        head = ChildHead.unpack(value)
        body = _load(work, key[1:], head)
        met = body.of(wanted)
        if bool(met.any()):
            yield head, _children(body, np.flatnonzero(met))


def _load(work: Work, suffix: bytes, head: ChildHead) -> Children:
    def read() -> tuple[int, Children]:
        raw = work.store.get(keys.CHILD_BODY + suffix)
        if raw is None:
            raise KeyError("a child row has a head and no body")
        return 96 * head.count, Children(raw)

    # One entry may write a row twice, each time with fewer children: offset and count together name one body.
    version = head.made.to_bytes(8, "big") + head.count.to_bytes(4, "big")
    return work.context.memo.get(keys.CHILD_BODY + suffix + version, read)


def _derived(body: Children, rows: NDArray[np.intp]) -> Columns:
    """Turn rows of a child row back: the child's id first, its source as parent."""
    kept = body.columns.take(rows)
    assert kept.parents is not None
    clocks = body.clocks[rows].astype(np.uint32)
    return Columns(ids=kept.parents, clocks=clocks, parents=kept.ids, subjects=kept.subjects)


def _children(body: Children, rows: NDArray[np.intp]) -> Columns:
    return _plain(_derived(body, rows))


def _plain(derived: Columns) -> Columns:
    return Columns(ids=derived.ids, clocks=derived.clocks, subjects=derived.subjects)


def _queue(
    work: Work, org_name: str, head: ChildHead, found: Columns, requests: Sequence[str], erased: Columns
) -> None:
    """Queue children of `erased` for each of their targets, by the day their minimum retain has passed."""
    org = work.org(org_name)
    plan = work.plan(org, head.category) if org is not None else None
    if plan is None:
        return  # stranded: the children stay where they are, and are counted there
    lies_in = head.target.removeprefix(keys.RETURNED)
    targets = (lies_in,) if lies_in else plan.targets
    days = found.clocks.astype(np.int64) // DAY_S
    pair = work.ensure_pair(org_name, head.category)
    for day in np.unique(days).tolist():
        derived = segments.resolved(found.take(np.flatnonzero(days == day)))
        part = _plain(derived)
        joined = marks.Joined(work, org_name, head.category, pair, part)
        places = joined.places(targets, leave=bool(lies_in) and lies_in == head.target)
        when = max(work.today, plan.retained_until(day))
        until = max(day, work.today)  # kept as long as the record, which may lie in a later bucket than its day's
        for target, there in places.items():
            rows = np.flatnonzero(there)
            if len(rows) and target in plan.targets:
                left = part.take(rows)
                following = waiting.Rows(
                    org=org_name,
                    category=head.category,
                    target=target,
                    columns=left,
                    forced=True,
                    requests=requests,
                    why=MIN_RETAIN if when > work.today else "",
                )
                waiting.queue(work, when, following)
                snapshots.follows(work, org_name, head.category, target, derived.take(rows), erased)
                if lies_in:
                    marks.store(work, org_name, head.category, marks.deleted_from(target), until, left)
        if not lies_in:
            marks.store(work, org_name, head.category, marks.deleted_from(""), until, part)
    if pair.oldest < 0:
        due.place(work, org_name, head.category, pair)
