"""Many small bodies at once: the same bytes as one by one, with a handful of numpy calls for each instead of forty.

A segment of a small org holds fewer than a hundred rows, and numpy costs a microsecond a call however few rows there
are. So what can be done for all runs together is. It concerns plain rows, ids that are UUIDs without parents or
targets; others are left to `schemas.bodies`, and so is saying what is wrong with a damaged body. Used by
`schemas.frames` and the ledger; `tests/unit/schemas/test_runs.py` holds it against `schemas.bodies`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np

from schemas.alike import first_alike, numbered
from schemas.bodies import (
    MAX_ROWS,
    SUBJECTS,
    VERSION,
    code_width,
    compress,
    decompress,
    encode_columns,
    read_columns,
)
from schemas.columns import Columns, Ids, Subjects
from schemas.planes import matrix_of, planes, undo_differences_of_runs, write_values, zigzag
from schemas.ragged import Rows, starts_of

_IDS_AT: Final = 7
_ROW_BYTES: Final = 20
"""Of a row's id and clock."""
_FEW: Final = 16
"""The ids of so many rows are quicker one by one than with numpy."""


def encode_runs(columns: Columns, sizes: Sequence[int]) -> list[bytes]:
    """Return one body (`schemas.bodies`) for each run of `sizes` consecutive rows; none of them is 0."""
    if not sizes:
        return []
    ends = np.cumsum(np.array(sizes, np.int64))
    bounds = list(zip((ends - sizes).tolist(), ends.tolist(), strict=True))
    columns = columns.lean()
    if columns.parents is not None or columns.targets is not None or not columns.ids.all_uuid():
        return [encode_columns(columns.slice(first, stop)) for first, stop in bounds]
    ids = columns.ids.data.reshape(-1, 16)
    clocks = columns.clocks.astype(np.uint32)
    steps = clocks.copy()
    steps[1:] -= clocks[:-1]
    steps[ends - sizes] = clocks[ends - sizes]
    folded = matrix_of(zigzag(steps), 4)
    references = _References(columns.subjects, ends) if columns.subjects is not None else None
    bodies = []
    for run, (first, stop) in enumerate(bounds):
        subjects = references.of(run, first, stop) if references is not None else []
        head = bytes((VERSION, SUBJECTS if subjects else 0)) + (stop - first).to_bytes(4, "little")
        rows = [head, b"\1", ids[first:stop].T.tobytes(), folded[first:stop].T.tobytes()]
        bodies.append(compress(b"".join(rows + subjects)))
    return bodies


class _References:
    """The subject references of all rows, to be written run by run. `ends`: where each run ends."""

    def __init__(self, subjects: Subjects, ends: Rows) -> None:
        refs = subjects.refs()
        self._counts = matrix_of(subjects.counts, 2)
        before = np.concatenate((np.zeros(1, np.int64), np.cumsum(subjects.counts)))
        others = np.concatenate((np.zeros(1, np.int64), np.cumsum(subjects.counts != 1)))
        begins = np.concatenate((np.zeros(1, np.int64), ends))
        bounds = before[begins]
        run = np.repeat(np.arange(len(ends)), np.diff(bounds))
        rows, places = numbered(first_alike(refs, run))
        entries = np.searchsorted(rows, bounds)  # how many distinct ones lie before each run
        self._codes = places - entries[run]
        self._one_byte = self._codes.astype(np.uint8).tobytes()
        self._hashes = refs[rows].astype("<u8").tobytes()
        self._bounds, self._entries = bounds.tolist(), entries.tolist()
        self._others = others[begins].tolist()  # rows before each run that have not just one

    def of(self, run: int, first: int, stop: int) -> list[bytes]:
        """Return what a body holds of the subjects of a run, the rows [first, stop); nothing if they have none."""
        begin, end = self._bounds[run], self._bounds[run + 1]
        if begin == end:
            return []
        one_each = self._others[run] == self._others[run + 1]
        parts = [b"\1"] if one_each else [b"\0", self._counts[first:stop].T.tobytes()]
        entries = self._entries[run + 1] - self._entries[run]
        parts += [(end - begin).to_bytes(4, "little"), entries.to_bytes(4, "little")]
        if entries < end - begin:
            width = code_width(entries)
            parts.append(self._one_byte[begin:end] if width == 1 else planes(self._codes[begin:end], width))
        return [*parts, self._hashes[8 * self._entries[run] : 8 * self._entries[run + 1]]]


class _Run(NamedTuple):
    """Where one decompressed body has what. Without subjects `entries` is -1."""

    raw: bytes
    rows: int
    one_each: bool = True
    total: int = 0
    entries: int = -1
    counts_at: int = 0
    codes_at: int = 0
    hashes_at: int = 0


def decode_runs(bodies: Sequence[bytes | memoryview]) -> Columns:
    """Return the rows of bodies, one after the other. Raises BadBody."""
    raws = [decompress(body) for body in bodies]
    runs = [_plain(raw) for raw in raws]
    found = _read([run for run in runs if run is not None]) if all(runs) else None
    return found if found is not None else Columns.concat([read_columns(raw) for raw in raws])


def distinct_ids(bodies: Sequence[bytes | memoryview]) -> Ids | list[str] | None:
    """Return the ids of all rows of bodies, as texts where they are few or no UUIDs; None: one may stand twice, or they
    are of both forms, or there are parents or targets.

    What else the bodies hold is not looked at. Raises BadBody.
    """
    raws = [decompress(body) for body in bodies]
    if any(len(raw) <= _IDS_AT or raw[0] != VERSION or raw[1] & ~SUBJECTS for raw in raws):
        return None
    counts = [int.from_bytes(raw[2:6], "little") for raw in raws]
    uuids = [raw[6] == 1 for raw in raws]
    if all(uuids) and sum(counts) > _FEW:
        return _many_uuids(raws, counts)
    found: list[str] = []
    for raw, n, binary in zip(raws, counts, uuids, strict=True):
        part = _uuids(raw, n) if binary else _texts(raw, n)
        if not part:
            return None
        found += part
    return found if len(set(found)) == len(found) else None


def _many_uuids(raws: Sequence[bytes], counts: Sequence[int]) -> Ids | None:
    if any(not n or len(raw) < _IDS_AT + 16 * n for raw, n in zip(raws, counts, strict=True)):
        return None
    total, first = sum(counts), 0
    ids = np.empty((total, 16), np.uint8)
    for raw, n in zip(raws, counts, strict=True):
        write_values(ids[first : first + n], np.frombuffer(raw, np.uint8, 16 * n, _IDS_AT).reshape(16, n))
        first += n
    halves = ids.view(np.uint64)
    words = halves[:, 0] ^ halves[:, 1]  # those that one host makes by the clock have the same second half
    words.sort()
    if bool((words[1:] == words[:-1]).any()):
        return None
    return Ids(np.ones(total, np.bool_), np.full(total, 16, np.int64), ids.reshape(-1))


def _uuids(raw: bytes, n: int) -> list[str] | None:
    end = _IDS_AT + 16 * n
    if len(raw) < end:
        return None
    digits = [raw[_IDS_AT + row : end : n].hex() for row in range(n)]
    return [f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}" for d in digits]


def _texts(raw: bytes, n: int) -> list[str] | None:
    at = _IDS_AT + (n + 7) // 8
    if any(raw[_IDS_AT:at]):
        return None  # some are UUIDs
    lengths = [raw[i] | raw[i + n] << 8 for i in range(at, at + n)]
    bounds = [*accumulate(lengths, initial=at + 2 * n)]
    if bounds[-1] > len(raw):
        return None
    return [raw[first:stop].decode() for first, stop in pairwise(bounds)]


def _plain(raw: bytes) -> _Run | None:
    """Return where a body has what; None if it is not plain, or claims what it has not."""
    if len(raw) <= _IDS_AT or raw[0] != VERSION or raw[1] & ~SUBJECTS or raw[6] != 1:
        return None
    n = int.from_bytes(raw[2:6], "little")
    at = _IDS_AT + _ROW_BYTES * n
    if not 0 < n <= MAX_ROWS or len(raw) < at:
        return None
    run = _with_subjects(raw, n, at) if raw[1] else _Run(raw, n, hashes_at=at)
    return run if run is not None and len(raw) == run.hashes_at + 8 * max(run.entries, 0) else None


def _with_subjects(raw: bytes, n: int, at: int) -> _Run | None:
    one_each, counts_at = raw[at : at + 1] == b"\1", at + 1
    at = counts_at if one_each else counts_at + 2 * n
    if raw[counts_at - 1 : counts_at] not in (b"\0", b"\1") or len(raw) < at + 8:
        return None
    total, entries = struct.unpack_from("<II", raw, at)
    if entries > total or total > MAX_ROWS:
        return None
    codes_at = at + 8
    hashes_at = codes_at + (total * code_width(entries) if entries < total else 0)
    return _Run(raw, n, one_each, total, entries, counts_at, codes_at, hashes_at)


def _read(runs: Sequence[_Run]) -> Columns | None:
    """Return the rows of plain bodies; None where counts or codes are not what they claim."""
    sizes = np.array([run.rows for run in runs], np.int64)
    n = int(sizes.sum())
    ids, steps = np.empty((n, 16), np.uint8), np.empty((n, 4), np.uint8)
    first = 0
    for run in runs:
        stop = first + run.rows
        there = np.frombuffer(run.raw, np.uint8, _ROW_BYTES * run.rows, _IDS_AT).reshape(_ROW_BYTES, -1)
        write_values(ids[first:stop], there[:16])
        write_values(steps[first:stop], there[16:])
        first = stop
    subjects = None
    if any(run.entries >= 0 for run in runs):
        subjects = _subjects(runs, sizes)
        if subjects is None:
            return None
    return Columns(
        ids=Ids(np.ones(n, np.bool_), np.full(n, 16, np.int64), ids.reshape(-1)),
        clocks=undo_differences_of_runs(steps.view("<u4").reshape(-1), sizes),
        subjects=subjects,
    )


def _subjects(runs: Sequence[_Run], sizes: Rows) -> Subjects | None:
    totals = np.array([run.total for run in runs], np.int64)
    entries = np.array([max(run.entries, 0) for run in runs], np.int64)
    counts = np.concatenate([_counts(run) for run in runs])
    sums = np.diff(np.concatenate(([0], np.cumsum(counts)))[np.concatenate(([0], np.cumsum(sizes)))])
    codes = np.concatenate([_codes(run) for run in runs])
    if not np.array_equal(sums, totals) or bool((codes >= np.repeat(entries, totals)).any()):
        return None
    hashes = b"".join(run.raw[run.hashes_at :] for run in runs if run.entries > 0)
    codes += np.repeat(starts_of(entries), totals)
    return Subjects(counts, codes, np.frombuffer(hashes, "<u8").astype(np.uint64))


def _counts(run: _Run) -> Rows:
    if run.entries < 0:
        return np.zeros(run.rows, np.int64)
    if run.one_each:
        return np.ones(run.rows, np.int64)
    whole = np.frombuffer(run.raw, np.uint8, 2 * run.rows, run.counts_at).astype(np.int64)
    return whole[: run.rows] | whole[run.rows :] << 8


def _codes(run: _Run) -> Rows:
    if run.entries == run.total:
        return np.arange(run.total, dtype=np.int64)
    width = code_width(run.entries) if run.entries >= 0 else 1
    whole = np.frombuffer(run.raw, np.uint8, width * run.total, run.codes_at).astype(np.int64).reshape(width, run.total)
    codes: Rows = whole[0]
    for i in range(1, width):
        codes |= whole[i] << (8 * i)
    return codes
