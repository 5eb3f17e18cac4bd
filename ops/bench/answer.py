"""What exists after all events, and what of it is due on a day: worked out beside every contender, from columns.

Pure. `ops.bench.dataset` tells it of every event; `tests/unit/ops/bench/test_answer.py` holds it against a slow one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ops.bench.block import CREATED, DAY_MS, DELETED, TOUCHED, Block, Flags, Ints
from ops.bench.digest import Digest, digest


def _none_yet() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class Answer:
    """All records so far, as columns that grow. `orgs` and `categories` are names as bytes, `periods` are days."""

    orgs: Sequence[bytes] = field(repr=False)
    categories: Sequence[bytes]
    periods: Sequence[int]
    id_length: int
    _org: Ints = field(default_factory=_none_yet, repr=False)
    _category: Ints = field(default_factory=_none_yet, repr=False)
    _day: Ints = field(default_factory=_none_yet, repr=False)
    _alive: Flags = field(default_factory=lambda: np.zeros(0, np.bool_), repr=False)
    _ids: bytearray = field(default_factory=bytearray, repr=False)
    _named: dict[bytes, int] = field(default_factory=dict, repr=False)
    _keyed: bool = False

    def with_later_events(self, block: Block, rng: np.random.Generator, *, touched: float, deleted: float) -> Block:
        """Return `block` with shares of its events turned into ones about records of earlier blocks."""
        self._keyed = True
        n, known = len(block), len(self._org)
        if known == 0:
            return block
        drawn = rng.random(n)
        chosen = rng.integers(0, known, n)
        kind = np.where(drawn < touched, TOUCHED, np.where(drawn < touched + deleted, DELETED, CREATED))
        # Nothing is deleted twice, and what is gone is not touched: such a draw stays an event of its own.
        _, firsts = np.unique(np.where(kind == DELETED, chosen, -1), return_index=True)
        repeated = np.ones(n, np.bool_)
        repeated[firsts] = False
        kind[(kind == DELETED) & repeated | (kind != CREATED) & ~self._alive[chosen]] = CREATED
        later = np.flatnonzero(kind != CREATED)
        org, category, ids = block.org.copy(), block.category.copy(), bytearray(block.ids)
        org[later], category[later] = self._org[chosen[later]], self._category[chosen[later]]
        width = self.id_length
        for row, record in zip(later.tolist(), chosen[later].tolist(), strict=True):
            ids[row * width : (row + 1) * width] = self._ids[record * width : (record + 1) * width]
        return replace(block, kind=kind, org=org, category=category, ids=bytes(ids))

    def add(self, block: Block) -> None:
        """Take in a block's events, in their order."""
        day = block.millis // DAY_MS
        new = np.flatnonzero(block.kind == CREATED)
        if self._keyed:
            self._touch(block, day)
        first, width = len(self._org), self.id_length
        self._org = np.concatenate((self._org, block.org[new]))
        self._category = np.concatenate((self._category, block.category[new]))
        self._day = np.concatenate((self._day, day[new]))
        self._alive = np.concatenate((self._alive, np.ones(len(new), np.bool_)))
        mine = [block.ids[row * width : (row + 1) * width] for row in new.tolist()]
        self._ids += b"".join(mine)
        if self._keyed:
            self._named.update(zip(mine, range(first, first + len(mine)), strict=True))

    def _touch(self, block: Block, day: Ints) -> None:
        width = self.id_length
        for row in np.flatnonzero(block.kind != CREATED).tolist():
            record = self._named[block.ids[row * width : (row + 1) * width]]
            if block.kind[row] == DELETED:
                self._alive[record] = False
            else:
                self._day[record] = max(self._day[record], day[row])

    @property
    def kept(self) -> int:
        """How many records exist."""
        return int(self._alive.sum())

    def due(self, as_of: int) -> Digest:
        """Return the digest of all records that are due on day `as_of`."""
        periods: Ints = np.array(self.periods, np.int64)
        rows = np.flatnonzero(self._alive & (self._day + periods[self._category] < as_of)).tolist()
        width, ids = self.id_length, bytes(self._ids)
        return digest(
            (self.orgs[self._org[i]], self.categories[self._category[i]], ids[i * width : (i + 1) * width])
            for i in rows
        )


def answer_for(orgs: Sequence[str], categories: Mapping[str, Any], id_length: int) -> Answer:
    """Return an empty answer; `categories` are by name, each with `period_days`."""
    return Answer(
        orgs=[name.encode() for name in orgs],
        categories=[name.encode() for name in categories],
        periods=[category.period_days for category in categories.values()],
        id_length=id_length,
    )
