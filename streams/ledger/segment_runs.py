"""Several small segments at once: read together, or made together. What each means is `streams.ledger.segments`'.

Used by the sweep, merges and packs; `tests/unit/streams/ledger/test_segment_runs.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from schemas.runs import decode_runs, encode_runs
from streams.ledger import barriers, segments
from streams.ledger.keys import Bucket, SegmentKey
from streams.ledger.rows import Segment
from streams.ledger.state import Work

Run = Sequence[tuple[SegmentKey, Segment]]

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # odd: no two runs of a call are shifted alike


def alive(work: Work, run: Run) -> tuple[NDArray[np.intp], Columns]:
    """Return the rows of segments that are still there, and their ordinals, counted on from segment to segment."""
    columns = decode_runs([segment.body for _, segment in run])
    gone, before = [], 0
    for key, segment in run:
        gone.append(segments.dead_rows(work, key).astype(np.intp) + before)
        before += segment.count
    dead = np.concatenate(gone)
    if not len(dead):
        return np.arange(before, dtype=np.intp), columns
    there = np.ones(before, np.bool_)
    there[dead] = False
    ordinals = np.flatnonzero(there)
    return ordinals, columns.take(ordinals)


def store(work: Work, buckets: Sequence[Bucket], sizes: Sequence[int], columns: Columns) -> None:
    """Store runs of `sizes` rows that come out of packs, each in its bucket, one row for each record.

    Runs that are large, that name a record twice, or that requests may erase some of are stored one by one.
    """
    ends = np.cumsum(np.array(sizes, np.int64))
    bounds = list(zip((ends - sizes).tolist(), ends.tolist(), strict=True))
    twice, most = _with_repeats(columns, sizes), min(segments.SMALL, segments.MAX_SEGMENT)
    together = [
        i
        for i, bucket in enumerate(buckets)
        if i not in twice and sizes[i] <= most and barriers.of(work, bucket.org) is None
    ]
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[together] = True
    small = columns if len(together) == len(sizes) else columns.take(np.flatnonzero(np.repeat(chosen, sizes)))
    bodies = iter(encode_runs(small, [sizes[i] for i in together]))
    spans = columns.spans(sizes)
    for i, bucket in enumerate(buckets):
        if chosen[i]:
            segments.add(work, bucket, Segment(sizes[i], *spans[i], False, next(bodies)))
        else:
            segments.store_columns(work, bucket, segments.resolved(columns.slice(*bounds[i])))


def _with_repeats(columns: Columns, sizes: Sequence[int]) -> frozenset[int]:
    """Return the runs in which a record may stand twice."""
    run = np.repeat(np.arange(len(sizes)), sizes)
    proxies = segments.proxies(columns) ^ (run.astype(np.uint64) * _FACTOR)
    ranked = np.sort(proxies)
    again = ranked[1:][ranked[1:] == ranked[:-1]]
    return frozenset(run[np.isin(proxies, again)].tolist()) if len(again) else frozenset()
