"""Rows whose target the rules have not: put aside, counted, and put back when the rules change.

Used by sweep, passes and the change of rules; `tests/unit/streams/ledger/test_orgs.py` says what it promises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import children, keys, segments, snapshots
from streams.ledger.keys import Bucket, SegmentKey
from streams.ledger.rows import Segment
from streams.ledger.state import Work


def add(work: Work, key: SegmentKey, segment: Segment) -> None:
    """Put a segment aside whose target the rules have not, until they change; its dead rows do not wait with it."""
    rows = segments.alive_rows(work, key, segment)
    segments.remove(work, key, segment)
    if len(rows) < segment.count:
        segment = segments.head_of(segments.columns_of(segment).take(rows), spread=segment.spread)
    work.store.put(key.pack(keys.STRANDED), segment.pack())
    work.clock.stranded += segment.count


def add_rows(work: Work, bucket: Bucket, columns: Columns, masks: dict[str, NDArray[np.bool_]]) -> None:
    """Put rows aside that moved to a target which the rules have not."""
    for target, mask in masks.items():
        rows = np.flatnonzero(mask)
        if not len(rows):
            continue
        part = columns.take(rows)
        segment = segments.head_of(part, spread=True)
        key = SegmentKey(bucket.org, bucket.category, bucket.day, target, segments.level_of(len(part)), work.position())
        work.store.put(key.pack(keys.STRANDED), segment.pack())
        work.clock.stranded += len(part)
        children.store(work, key.bucket, part)


def put_back(work: Work, raw: bytes, segment: Segment) -> None:
    """Put a stranded segment back to its bucket; the sweep strands it again if it must."""
    key = keys.read_segment(raw)
    snapshots.catch_segment(work, key, segment.pack(), keys.STRANDED)
    work.store.delete(raw)
    work.clock.stranded -= segment.count
    segments.store_columns(work, key.bucket, segments.columns_of(segment), spread=segment.spread)
