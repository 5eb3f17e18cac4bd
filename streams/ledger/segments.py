"""Segment rows: stored, read without their dead rows, removed; and the counters by which buckets are merged.

Used by intake, packs, sweep, passes, merges and rewriting. `tests/unit/streams/ledger/test_intake.py` says what it
promises.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import decode_columns, encode_columns
from schemas.columns import ROW_BYTES, Columns
from streams.ledger import barriers, due, keys, snapshots, waiting
from streams.ledger.keys import Bucket, SegmentKey
from streams.ledger.rows import Segment
from streams.ledger.state import DAY_S, Work

MAX_SEGMENT: Final = 8192
MAX_BYTES: Final = 4 << 20
"""Of one segment before compression: half of what a changelog record may hold."""
SMALL: Final = 1024
"""So many records surely fit one segment, whatever their ids."""
LEVELS: Final = (512, 4096)
"""A segment of fewer records than these is of level 0, 1; others are of level 2 and stay as they are."""
FAN_IN: Final = 8
"""So many segments of one bucket and level are merged."""


def level_of(count: int) -> int:
    return sum(count >= bound for bound in LEVELS)


def head_of(columns: Columns, *, spread: bool) -> Segment:
    """Return columns as a segment's row."""
    clocks = columns.clocks
    return Segment(len(columns), int(clocks.min()), int(clocks.max()), spread, encode_columns(columns))


def store(work: Work, bucket: Bucket, segment: Segment, *, fresh: bool = True, level: int = 0) -> None:
    """Add a segment, bring its pair up to date, and ask for a merge where enough small ones lie together.

    `fresh`: its rows were not here before, so passes must see them. Rows that were here keep at least their `level`:
    so their new key lies behind the old one, and a pass that is on its way there does not miss them.
    """
    if barriers.may_concern(work, bucket.org, bucket.category, segment.min_s):
        store_columns(work, bucket, columns_of(segment), spread=segment.spread, fresh=fresh, level=level)
    else:
        add(work, bucket, segment, fresh=fresh, level=level)


def add(work: Work, bucket: Bucket, segment: Segment, *, fresh: bool = True, level: int = 0) -> None:
    """Add a segment of which no request erases anything; see `store`."""
    level = max(level, level_of(segment.count))
    packed = bucket.pack()
    work.store.put(keys.segment(packed, level, work.position()), segment.pack())
    _count_level(work, packed, level, 1)
    pair = work.ensure_pair(bucket.org, bucket.category)
    pair.count += segment.count
    if fresh:
        pair.newest = work.offset
        if bucket.day <= pair.sure and not bucket.target.startswith(keys.RETURNED):
            pair.room -= segment.count
    pair.spread |= segment.spread
    older = pair.oldest < 0 or bucket.day < pair.oldest
    if older:
        pair.oldest = bucket.day
    if older or pair.clock not in ("created", "last_activity"):
        due.place(work, bucket.org, bucket.category, pair)


def store_columns(
    work: Work,
    bucket: Bucket,
    columns: Columns,
    *,
    spread: bool = False,
    fresh: bool = True,
    level: int = 0,
    catch: bool = True,
) -> None:
    """Add columns as segments of at most MAX_SEGMENT records, and MAX_BYTES; what requests erase goes at once."""
    if catch:
        columns = waiting.catch(work, bucket, columns)
    if not len(columns):
        return
    cuts = _cuts(columns)
    if len(cuts) * MAX_SEGMENT >= len(columns) + MAX_SEGMENT:
        level = len(LEVELS)  # cut by their bytes: merged, they would only be cut again
    for first, stop in cuts:
        add(work, bucket, head_of(columns.slice(first, stop), spread=spread), fresh=fresh, level=level)


def _cuts(columns: Columns) -> list[tuple[int, int]]:
    """Return where to cut columns, so that what does not compress stays within a changelog record as well."""
    n = len(columns)
    bounds = [*range(0, n, MAX_SEGMENT), n]
    subjects, parents = columns.subjects, columns.parents
    if columns.size > MAX_BYTES:
        sizes = columns.ids.lengths + ROW_BYTES
        sizes = sizes + 8 * subjects.counts if subjects is not None else sizes
        sizes = sizes + parents.lengths if parents is not None else sizes
        ends = np.cumsum(sizes)
        bounds, at = [0], 0
        while at < n:
            room = (int(ends[at - 1]) if at else 0) + MAX_BYTES
            fits = int(np.searchsorted(ends, room, "right"))
            at = min(max(fits, at + 1), at + MAX_SEGMENT)
            bounds.append(at)
    return list(pairwise(bounds))


def store_by_day(work: Work, org: str, category: str, target: str, columns: Columns, *, catch: bool = True) -> None:
    """Add columns to the buckets of their created days. Without `catch` requests leave them there."""
    days = columns.clocks.astype(np.int64) // DAY_S
    for day in np.unique(days).tolist():
        part = columns.take(np.flatnonzero(days == day))
        store_columns(work, Bucket(org, category, day, target), part, catch=catch)


def dead_rows(work: Work, key: SegmentKey) -> NDArray[np.uint16]:
    """Return the ordinals of a segment's rows that are gone already."""
    return _dead(work, key)[1]


def _dead(work: Work, key: SegmentKey) -> tuple[int, NDArray[np.uint16]]:
    """Return since when a segment has dead rows (-1: it has none), and their ordinals."""
    raw = work.store.get(key.pack(keys.DEAD)) if work.clock.dead else None
    if raw is None:
        return -1, np.zeros(0, np.uint16)
    return int.from_bytes(raw[:4], "big"), np.frombuffer(raw, np.dtype("<u2"), offset=4).astype(np.uint16)


def alive_rows(work: Work, key: SegmentKey, segment: Segment) -> NDArray[np.intp]:
    """Return the ordinals of a segment's rows that are still there."""
    dead = dead_rows(work, key)
    if len(dead) == 0:
        return np.arange(segment.count, dtype=np.intp)
    alive = np.ones(segment.count, np.bool_)
    alive[dead] = False
    return np.flatnonzero(alive)


def resolved(columns: Columns) -> Columns:
    """Return the columns with one row for each (id, created day): the one with the latest clock, in order of rows."""
    rows = distinct_rows(columns)
    return columns if rows is None else columns.take(rows)


def distinct_rows(columns: Columns) -> NDArray[np.intp] | None:
    """Return the ordinals of one row for each (id, created day); None: all rows are."""
    proxy = proxies(columns)
    ranked = np.sort(proxy)
    if not bool((ranked[1:] == ranked[:-1]).any()):
        return None
    order = np.argsort(proxy, kind="stable")
    same = np.flatnonzero(np.diff(proxy[order].view(np.int64)) == 0)
    keep = np.ones(len(columns), np.bool_)
    suspects = np.unique(np.concatenate((order[same], order[same + 1])))
    texts = columns.ids.take(suspects).texts()
    best: dict[tuple[str, int], int] = {}
    for row, text in zip(suspects.tolist(), texts, strict=True):
        clock = int(columns.clocks[row])
        other = best.setdefault((text, clock // DAY_S), row)
        if other != row:
            later, earlier = (row, other) if clock > int(columns.clocks[other]) else (other, row)
            best[(text, clock // DAY_S)] = later
            keep[earlier] = False
    return np.flatnonzero(keep)


def proxies(columns: Columns) -> NDArray[np.uint64]:
    """Return a word a row that is equal where ids are: half of a UUID, else the hash."""
    if columns.ids.all_uuid():
        halves = columns.ids.data.reshape(-1, 16)[:, 8:]
        proxy: NDArray[np.uint64] = np.ascontiguousarray(halves).view(np.dtype("<u8")).reshape(-1).astype(np.uint64)
        return proxy
    return columns.ids.hashes()


def columns_of(segment: Segment) -> Columns:
    return decode_columns(segment.body)


def mark_dead(work: Work, key: SegmentKey, segment: Segment, rows: NDArray[np.intp]) -> int:
    """Let rows of a segment be gone; a segment with more than a fifth dead is rewritten, an empty one removed.

    Others are rewritten by `streams.ledger.rewrite`, some days after their first dead row. Returns how many records
    were read and written again, 0: it was left as it is.
    """
    if work.clock.selects:
        snapshots.catch_segment(work, key, segment.pack())
    since, before = _dead(work, key)
    dead = rows.astype(np.uint16)
    dead = np.union1d(before, dead) if len(before) else np.sort(dead)
    if len(dead) >= segment.count:
        remove(work, key, segment)
        return segment.count
    if is_rewritten(len(dead), segment.count):
        rewrite(work, key, segment, dead)
        return segment.count
    if since < 0:
        since = work.today
        work.clock.dead_from = min(work.clock.dead_from, since) if work.clock.dead else since
        work.clock.dead += 1
        work.store.put(keys.dead_since(since, key), b"")
    work.store.put(key.pack(keys.DEAD), keys.u32(since) + dead.astype("<u2").tobytes())
    return 0


def is_rewritten(dead: int, count: int) -> bool:
    """Whether a segment of `count` rows is written anew when so many of them are dead."""
    return 5 * dead > count


def rewrite(work: Work, key: SegmentKey, segment: Segment, dead: NDArray[np.uint16]) -> None:
    """Put a segment in its own place without its dead rows: its key moves on, so a pass that comes there meets it."""
    alive = np.ones(segment.count, np.bool_)
    alive[dead] = False
    rest = columns_of(segment).take(np.flatnonzero(alive))
    remove(work, key, segment)
    store_columns(work, key.bucket, rest, spread=segment.spread, fresh=False, level=key.level)


def remove(work: Work, key: SegmentKey, segment: Segment) -> None:
    """Take a segment out, with what belongs to it."""
    if work.clock.selects:
        snapshots.catch_segment(work, key, segment.pack())
    work.store.delete(key.pack())
    since, _ = _dead(work, key)
    if since >= 0:
        work.store.delete(key.pack(keys.DEAD))
        work.store.delete(keys.dead_since(since, key))
        work.clock.dead -= 1
    _count_level(work, key.bucket.pack(), key.level, -1)
    pair = work.ensure_pair(key.org, key.category)
    pair.count = max(0, pair.count - segment.count)


def _count_level(work: Work, bucket: bytes, level: int, change: int) -> None:
    """Count the segments of a packed bucket by level; a merge is wanted from FAN_IN on."""
    if level >= len(LEVELS):
        return
    key = keys.BUCKET + bucket
    counts = bytearray(work.store.get(key) or bytes(2 * len(LEVELS)))
    now = int.from_bytes(counts[2 * level : 2 * level + 2], "big") + change
    counts[2 * level : 2 * level + 2] = max(0, min(now, 0xFFFF)).to_bytes(2, "big")
    if any(counts):
        work.store.put(key, bytes(counts))
    else:
        work.store.delete(key)
    if now == FAN_IN and change > 0:
        merge = keys.MERGE + bucket + bytes([level])
        if work.store.get(merge) is None:
            work.store.put(merge, b"")
            work.clock.merges += 1
