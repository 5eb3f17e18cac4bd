"""Very many small groups at once, as columns: which bucket each is of, without an object a group.

Pure. Made of packs and sheaves when they are sorted out (`streams.ledger.packs`);
`tests/unit/streams/ledger/test_buckets.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from schemas.directories import RECORD, Directory, Texts
from schemas.frames import Pack
from schemas.ordered import order_of
from schemas.ragged import Rows, items_of, starts_of
from streams.ledger.keys import Bucket

_GROUP_BYTES = 120
_RECORD_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """The record groups of some packs by bucket, in order of category, day, org and target.

    One entry a bucket in `orgs`, `categories`, `targets`, `days` and `sizes` (records). The groups of bucket i are the
    `groups[i]` to `groups[i + 1]` ones of `starts` and `counts`: where their rows begin in `columns`, and how many.
    """

    columns: Columns
    orgs: Texts
    categories: Texts
    targets: Texts
    days: Rows
    sizes: Rows
    groups: Rows
    starts: Rows
    counts: Rows

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def weight(self) -> int:
        """How many bytes it takes, about."""
        return _GROUP_BYTES * len(self.starts) + _RECORD_BYTES * len(self.columns)

    def key(self, i: int) -> Bucket:
        return Bucket(self.orgs.at(i), self.categories.at(i), int(self.days[i]), self.targets.at(i))

    def until(self, first: int, budget: int) -> int:
        """Return the bucket before which those from `first` on hold about `budget` records: one bucket at least."""
        ends = np.cumsum(self.sizes[first:])
        return first + max(1, int(np.searchsorted(ends, budget, "right"))) if len(ends) else first

    def rows(self, chosen: NDArray[np.intp]) -> Columns:
        """Return the rows of the buckets at the ordinals `chosen`, bucket after bucket."""
        groups = items_of(self.groups[chosen], self.groups[chosen + 1] - self.groups[chosen])
        return self.columns.take(items_of(self.starts[groups], self.counts[groups]))

    def directory(self, chosen: NDArray[np.intp], rows: Columns) -> Directory:
        """Return buckets as groups of a pack that holds `rows`, theirs."""
        n, sizes = len(chosen), self.sizes[chosen]
        begins, none = starts_of(sizes), np.zeros(n, np.uint64)
        return Directory(
            kinds=np.full(n, RECORD, np.uint8),
            orgs=self.orgs.take(chosen),
            categories=self.categories.take(chosen),
            targets=self.targets.take(chosen),
            names=Texts.same("", n),
            days=self.days[chosen],
            sources=np.zeros(n, np.int64),
            first=none,
            next=none,
            counts=sizes,
            low=np.minimum.reduceat(rows.clocks, begins),
            high=np.maximum.reduceat(rows.clocks, begins),
        )


def gather(packs: Sequence[Pack]) -> Buckets:
    """Bring together what packs, one at least, hold of each bucket; within it in their order."""
    whole = Directory.concat([pack.directory for pack in packs])
    records = np.flatnonzero(whole.kinds == RECORD)
    found, starts = whole.take(records), starts_of(whole.counts)[records]
    orgs, categories, targets = found.orgs.ranks(), found.categories.ranks(), found.targets.ranks()
    days = found.days - int(found.days.min()) if len(records) else found.days
    order, fresh = order_of(categories, days, orgs, targets)
    begins, counts = np.flatnonzero(fresh), found.counts[order]
    heads = order[begins]
    return Buckets(
        columns=Columns.concat([pack.columns for pack in packs]),
        orgs=found.orgs.take(heads),
        categories=found.categories.take(heads),
        targets=found.targets.take(heads),
        days=found.days[heads],
        sizes=np.add.reduceat(counts, begins) if len(begins) else np.zeros(0, np.int64),
        groups=np.append(begins, len(order)),
        starts=starts[order],
        counts=counts,
    )
