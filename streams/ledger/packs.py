"""Packs: groups too small to stand alone wait together, so that small orgs cost rows by the bucket, not by the frame.

Packs wait until many records are there, until one of their groups may be due, or until the day changes. Then all that
wait are exploded together, in order of their groups and in Steps: what they hold of one bucket becomes one segment.
Used by intake, the org's commands and the steps; `tests/unit/streams/ledger/test_intake.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from schemas.frames import Group, Pack
from schemas.ragged import starts_of
from streams.ledger import barriers, keys, segment_runs, segments
from streams.ledger.due import org_limit
from streams.ledger.keys import Bucket, Position
from streams.ledger.rows import OrgRow, PacksRow
from streams.ledger.state import Work

MAX_PACKS: Final = 256
STEPS_OF_RECORDS: Final = 25
"""Packs are exploded when they hold so many times the records of one step: enough to make whole segments of them."""

_GROUP_BYTES: Final = 400
_RUN_BYTES: Final = 120
_RECORD_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class _Gathered:
    """All rows of some packs, and for each bucket where its groups begin among them and how many rows they have."""

    columns: Columns
    buckets: list[tuple[Bucket, list[tuple[int, int]]]]


def add(work: Work, pack: Pack, records: Sequence[Group]) -> None:
    """Keep a frame's pack. `records` are its record groups."""
    pos = work.position()
    count = sum(group.count for group in records)
    work.store.put(keys.PACK + pos.pack(), pack.encode())
    row = work.packs()
    row.packs.append([pos.offset, pos.row, count])
    row.records += count
    oldest = min(group.day for group in records)
    row.min_day = oldest if row.min_day < 0 else min(row.min_day, oldest)
    step = work.rules.step_records if work.rules is not None else 10_000
    if len(row.packs) >= MAX_PACKS or row.records >= STEPS_OF_RECORDS * step:
        row.wanted = True
    if not row.wanted:
        row.wanted = any(_may_be_due(work, group) for group in records)


def _may_be_due(work: Work, group: Group) -> bool:
    org = work.org(group.org)
    plan = work.plan(org, group.category) if org is not None and org.open else None
    if org is None or plan is None:
        return False
    if barriers.may_concern(work, group.org, group.category, group.min_s):
        return True
    newest = plan.newest(work.today)
    if newest is None or group.day > newest:
        return False
    if not plan.by_event or org_limit(plan, org, group.category, work.today) is not None:
        return True
    pair = work.pair(group.org, group.category)
    return pair is not None and plan.follows[0] in pair.marks


def recheck(work: Work, org: OrgRow) -> None:
    """Something changed for an org: explode the packs if one of its groups could now be due among them."""
    row = work.packs()
    if not row.packs or row.wanted or not org.open or work.rules is None:
        return
    for category in work.rules.categories:
        plan = work.plan(org, category)
        newest = plan.newest(work.today) if plan is not None else None
        if newest is not None and newest >= row.min_day:
            row.wanted = True


def all_wanted(work: Work) -> None:
    """Explode whatever waits: rules or time have changed for all."""
    row = work.packs()
    row.wanted |= bool(row.packs)


def newest(row: PacksRow) -> int:
    """Return the log offset of the newest pack that waits, -1: none does."""
    return row.packs[-1][0] if row.packs else -1


def reach(row: PacksRow, offset: int) -> bool:
    """Whether a pack is left that was there at a log offset."""
    return bool(row.packs) and row.packs[0][0] <= offset


def waiting(row: PacksRow) -> bool:
    """Whether there is something to explode."""
    return row.exploding > 0 or (row.wanted and bool(row.packs))


def explode(work: Work, budget: int) -> int:
    """Turn groups of packs into segments, about `budget` records; return how many were handled."""
    row = work.packs()
    if not row.exploding:
        row.exploding, row.cursor, row.wanted = len(row.packs), 0, False
    chosen = [Position(offset, n) for offset, n, _ in row.packs[: row.exploding]]
    found = _gathered(work, chosen)
    sizes: list[int] = []
    handled = 0
    for _, groups in found.buckets[row.cursor :]:
        size = sum(count for _, count in groups)
        if handled and handled + size > budget:
            break
        sizes.append(size)
        handled += size
    following = row.cursor + len(sizes)
    if sizes:
        part = found.buckets[row.cursor : following]
        rows = _rows([group for _, groups in part for group in groups])
        segment_runs.store(work, [bucket for bucket, _ in part], sizes, found.columns.take(rows))
    row.cursor = following
    if following == len(found.buckets):
        _finish(work, row, chosen)
    return max(handled, 1)


def _rows(groups: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """Return the ordinals of the rows of groups, given as where each begins and how many it has."""
    starts, counts = np.array(groups, np.int64).T
    return np.repeat(starts - starts_of(counts), counts) + np.arange(int(counts.sum()))


def store_bucket(work: Work, bucket: Bucket, groups: Sequence[Group]) -> None:
    """Store what packs hold of one bucket."""
    columns = segments.resolved(Columns.concat([group.columns() for group in groups]))
    segments.store_columns(work, bucket, columns)


def _finish(work: Work, row: PacksRow, done: Sequence[Position]) -> None:
    for pos in done:
        key = keys.PACK + pos.pack()
        work.store.delete(key)
        work.context.memo.drop(key)
    work.context.memo.drop(_memo_key(done))
    row.packs = row.packs[row.exploding :]
    row.records = sum(count for _, _, count in row.packs)
    row.exploding, row.cursor = 0, 0
    if not row.packs:
        row.min_day = -1


def _memo_key(chosen: Sequence[Position]) -> bytes:
    return b"explode" + b"".join(pos.pack() for pos in chosen)


def _gathered(work: Work, chosen: Sequence[Position]) -> _Gathered:
    """Return the record groups of packs by bucket, in key order. Packs never change, so it is made once."""

    def read() -> tuple[int, _Gathered]:
        parts: list[Columns] = []
        found: dict[Bucket, list[tuple[int, int]]] = {}
        before = 0
        for pos in chosen:
            raw = work.store.get(keys.PACK + pos.pack())
            if raw is None:
                raise KeyError("a pack is listed and not there")
            pack = Pack.decode(raw)
            at = before
            for group in pack.groups():
                if group.kind == "record":
                    bucket = Bucket(group.org, group.category, group.day, group.target)
                    found.setdefault(bucket, []).append((at, group.count))
                at += group.count
            parts.append(pack.columns)
            before = at
        weight = sum(_GROUP_BYTES + _RUN_BYTES * len(groups) for groups in found.values()) + _RECORD_BYTES * before
        return weight, _Gathered(Columns.concat(parts), sorted(found.items()))

    return work.context.memo.get(_memo_key(chosen), read)
