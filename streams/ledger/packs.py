"""Packs: groups too small to stand alone wait together, so that small orgs cost rows by the bucket, not by the frame.

Packs wait until many records are there, until one of their groups may be due, or until the day changes. Then all that
wait are sorted out together, in order of their buckets and in Steps: into segments, or into sheaves where few records
of one bucket are there. Here is also what opens sheaves.
Used by intake, the org's commands and the steps; `tests/unit/streams/ledger/test_intake.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from schemas.directories import Directory, Texts
from schemas.frames import Group, Pack
from streams.ledger import barriers, keys, segments, sheaves, sorting
from streams.ledger.buckets import Buckets, gather
from streams.ledger.due import org_limit, replace_all
from streams.ledger.keys import Bucket, Position
from streams.ledger.org_classes import CLOSED, Classes
from streams.ledger.plans import Plan
from streams.ledger.rows import OrgRow, PacksRow
from streams.ledger.state import Work

MAX_PACKS: Final = 256
STEPS_OF_RECORDS: Final = 25
"""Packs are sorted out when they hold so many times the records of one step: enough to make whole segments of them."""
ENOUGH: Final = 32_768
"""So many records are enough in any case: they are sorted in memory, and the day's end shall not find all of a day."""


def add(work: Work, pack: Pack, records: NDArray[np.intp], known: Classes) -> None:
    """Keep a frame's pack. `records` are the ordinals of its record groups, `known` the classes of its orgs."""
    pos, groups = work.position(), pack.directory
    count, oldest = int(groups.counts[records].sum()), int(groups.days[records].min())
    key = _key(pos)
    work.store.put(key, pack.encode())
    work.context.memo.get(key, lambda: (pack.weight, pack))  # its directory is decoded, and soon asked for again
    row = work.packs()
    row.packs.append([pos.offset, pos.row, count])
    row.records += count
    row.min_day = oldest if row.min_day < 0 else min(row.min_day, oldest)
    if len(row.packs) >= MAX_PACKS or row.records >= min(STEPS_OF_RECORDS * work.step_records, ENOUGH):
        row.wanted = True
    if not row.wanted:
        row.wanted = _may_be_due(work, groups.take(records), known)


def _may_be_due(work: Work, groups: Directory, known: Classes) -> bool:
    """Whether a group may be due, by the day, by events or by a request. Orgs with the same settings are asked once."""
    categories = groups.categories
    for code in sorted(known.asked):
        at = np.flatnonzero(groups.orgs.codes == code).tolist()
        name = groups.orgs.values[code]
        if any(barriers.may_concern(work, name, categories.at(i), int(groups.low[i])) for i in at):
            return True
    asked = known.of[groups.orgs.codes] * len(categories.values) + categories.codes
    for code in np.flatnonzero(np.bincount(asked)).tolist():
        number, category = divmod(code, len(categories.values))
        plan = known.plan(work, number, categories.values[category]) if number != CLOSED else None
        newest = plan.newest(work.today) if plan is not None else None
        if plan is None or newest is None:
            continue
        due = np.flatnonzero((asked == code) & (groups.days <= newest))
        if not len(due):
            continue
        if not plan.by_event or _has_begun(work, plan, categories.values[category], groups.orgs.take(due)):
            return True
    return False


def _has_begun(work: Work, plan: Plan, category: str, orgs: Texts) -> bool:
    """Whether an event started the clock of a category for one of these orgs, or for records of it."""
    for code in orgs.used():
        name = orgs.values[code]
        org, pair = work.org(name), work.pair(name, category)
        if org is not None and org_limit(plan, org, category, work.today) is not None:
            return True
        if pair is not None and plan.follows[0] in pair.marks:
            return True
    return False


def recheck(work: Work, org: OrgRow) -> None:
    """Something changed for an org: sort the packs out if one of its groups could now be due among them."""
    row = work.packs()
    if not row.packs or row.wanted or not org.open or work.rules is None:
        return
    for category in work.rules.categories:
        plan = work.plan(org, category)
        newest = plan.newest(work.today) if plan is not None else None
        if newest is not None and newest >= row.min_day:
            row.wanted = True


def all_wanted(work: Work) -> None:
    """Sort out whatever waits: rules or time have changed for all."""
    row = work.packs()
    row.wanted |= bool(row.packs)


def newest(row: PacksRow) -> int:
    """Return the log offset of the newest pack that waits, -1: none does."""
    return row.packs[-1][0] if row.packs else -1


def reach(row: PacksRow, offset: int) -> bool:
    """Whether a pack is left that was there at a log offset."""
    return bool(row.packs) and row.packs[0][0] <= offset


def waiting(work: Work) -> bool:
    """Whether there is something to sort out."""
    row = work.packs()
    return row.sorting > 0 or (row.wanted and bool(row.packs)) or row.draws > 0 or sheaves.are_due(work)


def is_kept(work: Work, org: str, offset: int) -> bool:
    """Whether records of an org that were in packs or sheaves at a log offset may still lie in one of them."""
    return reach(work.packs(), offset) or sheaves.is_drawing(work, org)


def sort_out(work: Work, budget: int) -> int:
    """Sort out what waits in packs, draw orgs out of sheaves, or open sheaves, about `budget` records; return what it
    cost."""
    row = work.packs()
    if row.sorting or (row.wanted and row.packs):
        return _sort(work, row, budget)
    found = sheaves.next_draw(work)
    if found is None:
        opened = sheaves.take_due(work, budget)
        return 1 if opened is None else 1 + _sort_all(work, opened)
    org, drawn = found
    if reach(row, drawn.asked):
        row.wanted = True
        return 1
    taken, cost = sheaves.drawn(work, org, drawn, budget)
    for part in taken:
        sorting.store(work, part, np.arange(len(part)))
    if not sheaves.is_drawing(work, org):
        replace_all(work, org)
    return cost + 1


def _sort_all(work: Work, found: Buckets) -> int:
    return int(found.sizes.sum()) + sorting.sort_out(work, found, np.arange(len(found)))


def _sort(work: Work, row: PacksRow, budget: int) -> int:
    """Go on with the packs that wait, in the order of their buckets."""
    if not row.sorting:
        row.sorting, row.cursor, row.wanted = len(row.packs), 0, False
    chosen = [Position(offset, n) for offset, n, _ in row.packs[: row.sorting]]
    found = _gathered(work, chosen)
    following = found.until(row.cursor, budget)
    part = np.arange(row.cursor, following)
    cost = int(found.sizes[part].sum()) + sorting.sort_out(work, found, part)
    row.cursor = following
    if following == len(found):
        _finish(work, row, chosen)
    return max(cost, 1)


def store_bucket(work: Work, bucket: Bucket, groups: Sequence[Group]) -> None:
    """Store what packs hold of one bucket."""
    columns = segments.resolved(Columns.concat([group.columns() for group in groups]))
    segments.store_columns(work, bucket, columns)


def _finish(work: Work, row: PacksRow, done: Sequence[Position]) -> None:
    for pos in done:
        work.store.delete(_key(pos))
    work.context.memo.drop(_memo_key(done))
    row.packs = row.packs[row.sorting :]
    row.records = sum(count for _, _, count in row.packs)
    row.sorting, row.cursor = 0, 0
    if not row.packs:
        row.min_day = -1


def _key(pos: Position) -> bytes:
    return keys.PACK + pos.pack()


def _memo_key(chosen: Sequence[Position]) -> bytes:
    return b"sort" + b"".join(pos.pack() for pos in chosen)


def _gathered(work: Work, chosen: Sequence[Position]) -> Buckets:
    """Return the record groups of packs by bucket. Packs never change, so it is made once."""

    def read() -> tuple[int, Buckets]:
        found = gather([_pack(work, pos) for pos in chosen])
        for pos in chosen:
            work.context.memo.drop(_key(pos))  # their rows are decoded by now, and lie in the buckets
        return found.weight, found

    return work.context.memo.get(_memo_key(chosen), read)


def _pack(work: Work, pos: Position) -> Pack:
    def read() -> tuple[int, Pack]:
        raw = work.store.get(key)
        if raw is None:
            raise KeyError("a pack is listed and not there")
        pack = Pack.decode(raw)
        return pack.weight, pack

    key = _key(pos)
    return work.context.memo.get(key, read)
