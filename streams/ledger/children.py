"""Derived records: found by their source when that goes, and made to go with it.

A derived record is a record of its own category, due by its own clock. Beside its segment a child row keeps it under
its source's id (joined by hash, as marks are), for all of its org: what a source's category is, the event does not
say. When the sweep erases the source, the child is taken out of the child row, cancelled where it lies, and queued to
be erased from its targets, never before its own minimum retain has passed. A child's own children follow the same way.
Used by intake and by the cut; `tests/unit/streams/ledger/test_children.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import zstandard
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import again, due, keys, marks, segments
from streams.ledger.keys import Bucket, Position
from streams.ledger.rows import Row
from streams.ledger.state import DAY_S, Work

_PARENTS = 2


@dataclass(slots=True, frozen=True)
class ChildHead(Row):
    """What the children of one row have in common; `made` is the log offset that wrote it."""

    category: str
    target: str
    count: int
    made: int


def has_parents(body: bytes) -> bool:
    """Tell whether an encoded body has a column of parents, reading no more than its first block."""
    head: bytes = zstandard.ZstdDecompressor().stream_reader(body).read(2)
    return bool(head[1] & _PARENTS)


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


def follow(work: Work, org: str, erased: Columns, place: tuple[str, str] | None = None) -> None:
    """Let the children of erased records follow them, but those erased with them: `place` is (category, target)."""
    row = work.org(org)
    if row is None or not row.children or not len(erased):
        return
    left = False
    for suffix, head, body, met in _met(work, org, erased):
        if not bool(met.any()):
            left = True
            continue
        found = _children(body, np.flatnonzero(met))
        if place == (head.category, head.target):
            found = _without(found, erased)
        if len(found):
            _queue(work, org, head, found)
        work.store.delete(keys.CHILD + suffix)
        work.store.delete(keys.CHILD_BODY + suffix)
        rest = np.flatnonzero(~met)
        if len(rest):
            left = True
            _, pos = keys.read_text(suffix, 0)
            _write(work, org, head.category, head.target, keys.read_position(suffix[pos:]), _derived(body, rest))
    row.children = left


def of(work: Work, org: str, sources: Columns) -> Iterator[tuple[ChildHead, Columns]]:
    """Yield the children of records by the row they lie in, and change nothing."""
    for _, head, body, met in _met(work, org, sources):
        if bool(met.any()):
            yield head, _children(body, np.flatnonzero(met))


def _met(work: Work, org: str, sources: Columns) -> Iterator[tuple[bytes, ChildHead, marks.Marks, NDArray[np.bool_]]]:
    """Yield an org's child rows: the key's end, the head, the body, and which of its rows have one of the sources."""
    hashes = np.unique(sources.ids.hashes())
    ids: set[str] = set()
    for key, value in list(work.store.scan(keys.CHILD + keys.text(org))):
        head = ChildHead.unpack(value)
        body = _load(work, key[1:], head)
        met = np.isin(body.hashes, hashes)
        at = np.flatnonzero(met)
        if len(at):
            ids = ids or set(sources.ids.texts())
            met[at] = [source in ids for source in body.columns.ids.take(at).texts()]
        yield key[1:], head, body, met


def _load(work: Work, suffix: bytes, head: ChildHead) -> marks.Marks:
    def read() -> tuple[int, marks.Marks]:
        raw = work.store.get(keys.CHILD_BODY + suffix)
        if raw is None:
            raise KeyError("a child row has a head and no body")
        return 64 * head.count, marks.Marks(raw)

    # One entry may write a row twice, each time with fewer children: offset and count together name one body.
    version = head.made.to_bytes(8, "big") + head.count.to_bytes(4, "big")
    return work.context.memo.get(keys.CHILD_BODY + suffix + version, read)


def _derived(body: marks.Marks, rows: NDArray[np.intp]) -> Columns:
    """Turn rows of a child row back: the child's id first, its source as parent."""
    kept = body.columns.take(rows)
    assert kept.parents is not None
    clocks = body.clocks[rows].astype(np.uint32)
    return Columns(ids=kept.parents, clocks=clocks, parents=kept.ids, subjects=kept.subjects)


def _children(body: marks.Marks, rows: NDArray[np.intp]) -> Columns:
    derived = _derived(body, rows)
    return Columns(ids=derived.ids, clocks=derived.clocks, subjects=derived.subjects)


def _without(found: Columns, erased: Columns) -> Columns:
    """Leave out children that are among the erased records themselves."""
    gone: dict[str, int] = {}
    for name, clock in zip(erased.ids.texts(), erased.clocks.tolist(), strict=True):
        gone[name] = max(clock, gone.get(name, -1))
    clocks = zip(found.ids.texts(), found.clocks.tolist(), strict=True)
    return found.take(np.flatnonzero([clock > gone.get(name, -1) for name, clock in clocks]))


def _queue(work: Work, org_name: str, head: ChildHead, found: Columns) -> None:
    """Queue children for each of their targets, by the day their minimum retain has passed."""
    org = work.org(org_name)
    plan = work.plan(org, head.category) if org is not None else None
    if plan is None:
        return  # stranded: the children stay where they are, and are counted there
    targets = (head.target,) if head.target else plan.targets
    days = found.clocks.astype(np.int64) // DAY_S
    pair = work.ensure_pair(org_name, head.category)
    for day in np.unique(days).tolist():
        part = segments.resolved(found.take(np.flatnonzero(days == day)))
        joined = marks.Joined(work, org_name, head.category, pair, part)
        gone = {target: joined.cancelled(target) for target in targets}  # by its producer, or with a twin of it
        for target, cancelled in gone.items():
            if not bool(cancelled.all()):
                when = max(work.today, plan.retained_until(day))
                left = part.take(np.flatnonzero(~cancelled))
                again.queue(work, when, org_name, head.category, target, left, forced=True)
        until = max(day, work.today)  # kept as long as the record, which may lie in a later bucket than its day's
        marks.store(work, org_name, head.category, marks.deleted_from(head.target), until, part)
    if pair.oldest < 0:
        due.place(work, org_name, head.category, pair)
