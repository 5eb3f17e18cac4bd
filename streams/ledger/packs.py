"""Packs: groups too small to stand alone wait together, so that small orgs cost rows by the bucket, not by the frame.

Packs wait until many records are there, until one of their groups may be due, or until the day changes. Then all that
wait are exploded together, in order of their groups and in Steps: what they hold of one bucket becomes one segment.
Used by intake, the org's commands and the steps; `tests/unit/streams/ledger/test_intake.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.columns import Columns
from schemas.frames import Group, Pack
from streams.ledger import barriers, keys, segments
from streams.ledger.due import org_limit
from streams.ledger.keys import Bucket, Position
from streams.ledger.rows import OrgRow, PacksRow
from streams.ledger.state import Work

MAX_PACKS: Final = 256
STEPS_OF_RECORDS: Final = 25
"""Packs are exploded when they hold so many times the records of one step: enough to make whole segments of them."""

_GROUP_BYTES: Final = 600
_RECORD_BYTES: Final = 40


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


def waiting(row: PacksRow) -> bool:
    """Whether there is something to explode."""
    return row.exploding > 0 or (row.wanted and bool(row.packs))


def explode(work: Work, budget: int) -> int:
    """Turn groups of packs into segments, about `budget` records; return how many were handled."""
    row = work.packs()
    if not row.exploding:
        row.exploding, row.cursor, row.wanted = len(row.packs), 0, False
    chosen = [Position(offset, n) for offset, n, _ in row.packs[: row.exploding]]
    buckets = _buckets(work, chosen)
    at = row.cursor
    handled = 0
    while at < len(buckets) and (handled == 0 or handled + _size(buckets[at][1]) <= budget):
        bucket, groups = buckets[at]
        store_bucket(work, bucket, groups)
        handled += _size(groups)
        at += 1
    row.cursor = at
    if at == len(buckets):
        _finish(work, row, chosen)
    return max(handled, 1)


def _size(groups: Sequence[Group]) -> int:
    return sum(group.count for group in groups)


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


def _buckets(work: Work, chosen: Sequence[Position]) -> list[tuple[Bucket, list[Group]]]:
    """Return the record groups of packs by bucket, in key order. Packs never change, so it is made once."""

    def read() -> tuple[int, list[tuple[Bucket, list[Group]]]]:
        found: dict[Bucket, list[Group]] = {}
        weight = 0
        for pos in chosen:
            raw = work.store.get(keys.PACK + pos.pack())
            if raw is None:
                raise KeyError("a pack is listed and not there")
            for group in Pack.decode(raw).groups():
                if group.kind == "record":
                    bucket = Bucket(group.org, group.category, group.day, group.target)
                    found.setdefault(bucket, []).append(group)
                    weight += _GROUP_BYTES + _RECORD_BYTES * group.count
        return weight, sorted(found.items())

    return work.context.memo.get(_memo_key(chosen), read)
