"""Counting distinct records without keeping them: a word a record, and of it no more than must be remembered.

A record is named by a 64-bit word made of its id's hash, its created day and its category; a second row of the same
name adds only the targets that the first had not. Of n records in one set two share a word by chance once in 2^65/n^2
counts. What was counted is kept as runs of sorted words, one bit mask of targets each, in rows of their own.
Used by previews; `tests/unit/streams/ledger/test_tally.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import keys
from streams.ledger.rows import Row
from streams.ledger.state import DAY_S, Work

Words = NDArray[np.uint64]
MAX_TARGETS: Final = 64
"""Of one category: a bit each."""
_DAY_STEP: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_RUN: Final = 1 << 18
"""Words of one row at most: 2 MiB, well within a changelog record."""


@dataclass(slots=True)
class Counts(Row):
    """What was counted of one category. `following`: of `records` those that are due only because their source is."""

    records: int = 0
    following: int = 0
    months: dict[str, int] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)


class Named(NamedTuple):
    """Records by their words, each with its created day (since the epoch) and a mask of the targets it goes from."""

    words: Words
    masks: Words
    days: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_]) -> Named:
        return Named(self.words[rows], self.masks[rows], self.days[rows])


def name(category: str, columns: Columns, hashes: Words, masks: Words) -> Named:
    """Name rows: `hashes` are their ids', `masks` where each goes."""
    digest = blake2b(category.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    days = columns.clocks.astype(np.uint64) // np.uint64(DAY_S)
    words = (hashes + days * _DAY_STEP) ^ np.uint64(int.from_bytes(digest, "big"))
    return Named(words, masks, days.astype(np.int64))


def fold(parts: list[Named]) -> Named:
    """Return each record once, with all its targets, in order of words."""
    words = np.concatenate([part.words for part in parts])
    if not len(words):
        return parts[0]
    masks = np.concatenate([part.masks for part in parts])
    days = np.concatenate([part.days for part in parts])
    order = np.argsort(words, kind="stable")
    ordered = words[order]
    first = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), ordered[1:] != ordered[:-1])))
    return Named(ordered[first], np.bitwise_or.reduceat(masks[order], first), days[order[first]])


def add(counts: Counts, found: Named, before: Words, targets: tuple[str, ...], *, following: bool) -> None:
    """Count distinct records; `before` says for each where it was counted already, `targets` names the bits."""
    new = before == 0
    number = int(new.sum())
    counts.records += number
    counts.following += number if following else 0
    months, sizes = np.unique(found.days[new].astype("datetime64[D]").astype("datetime64[M]"), return_counts=True)
    for month, size in zip(months.astype(str).tolist(), sizes.tolist(), strict=True):
        counts.months[month] = counts.months.get(month, 0) + size
    fresh = found.masks & ~before
    for bit, target in enumerate(targets):
        size = int(((fresh >> np.uint64(bit)) & np.uint64(1)).sum())
        if size:
            counts.targets[target] = counts.targets.get(target, 0) + size


class Seen:
    """What was counted so far: runs of sorted words by their mask, merged so that there are few."""

    def __init__(self) -> None:
        self._runs: dict[int, list[Words]] = {}
        self.size = 0

    def add(self, mask: int, words: Words) -> None:
        """Add sorted words that go from the targets of `mask`."""
        runs = self._runs.setdefault(mask, [])
        runs.append(words)
        self.size += len(words)
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            runs[-2:] = [np.sort(np.concatenate(runs[-2:]), kind="stable")]

    def masks(self, words: Words) -> Words:
        """Return for each word where it was counted, 0: nowhere."""
        found = np.zeros(len(words), np.uint64)
        for mask, runs in self._runs.items():
            for run in runs:
                at = np.minimum(np.searchsorted(run, words), len(run) - 1)
                found[run[at] == words] |= np.uint64(mask)
        return found


def load(work: Work, prefix: bytes, first: int, following: int) -> Seen:
    """Return what the rows [first, following) under `prefix` hold. A row never changes, so it is made once."""

    def read() -> tuple[int, Seen]:
        seen = Seen()
        for number in range(first, following):
            raw = work.store.get(prefix + keys.u32(number))
            if raw is None:
                raise KeyError("what a preview has counted is listed and not there")
            seen.add(int.from_bytes(raw[:8], "big"), np.frombuffer(raw, np.dtype("<u8"), offset=8).astype(np.uint64))
        return 8 * seen.size, seen

    return work.context.memo.get(_memo_key(prefix, first, following), read)


def keep(work: Work, prefix: bytes, first: int, following: int, found: Named) -> int:
    """Keep records under `prefix` beside those of the rows [first, following); return where the rows then end."""
    seen, at = load(work, prefix, first, following), following
    for mask, words in _by_mask(found):
        work.store.put(prefix + keys.u32(at), mask.to_bytes(8, "big") + words.astype("<u8").tobytes())
        seen.add(mask, words)
        at += 1
    work.context.memo.drop(_memo_key(prefix, first, following))
    work.context.memo.get(_memo_key(prefix, first, at), lambda: (8 * seen.size, seen))
    return at


def _by_mask(found: Named) -> Iterator[tuple[int, Words]]:
    for mask in np.unique(found.masks).tolist():
        words = found.words[found.masks == mask]
        for start in range(0, len(words), _RUN):
            yield mask, words[start : start + _RUN]


def _memo_key(prefix: bytes, first: int, following: int) -> bytes:
    return prefix + keys.u32(first) + keys.u32(following)
