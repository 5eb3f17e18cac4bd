"""What is held: an org's legal holds, ready to ask.

A hold concerns an org, categories with their children, subjects or records; no row that one concerns enters a batch.
An org without holds has a 0 in its row and pays nothing. Used by everything that makes a batch; commands are in
`streams.ledger.hold_orders`. `tests/unit/streams/ledger/test_holds.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.columns import Columns
from streams.ledger import keys, rows
from streams.ledger.concern import Mask, RecordIds, Refs, has_subjects, lineage
from streams.ledger.rows import Row
from streams.ledger.state import Work

RESTRICTION: Final = "restriction:"
"""How the ids of holds begin that a restriction has placed: they keep records from going, and not as they are."""


@dataclass(slots=True, frozen=True)
class HoldDef(Row):
    """What a hold says: it never changes. Its subject references follow in the row, 8 bytes each."""

    categories: list[str]
    everyone: bool
    records: list[str]


class Hold:
    """One hold, ready to ask. `legal`: what it concerns is evidence, and stays as it is."""

    def __init__(self, said: HoldDef, subjects: bytes, *, legal: bool = True) -> None:
        self.legal = legal
        self._categories = frozenset(said.categories)
        self.everyone = said.everyone
        self._refs = Refs.read(subjects)
        self._records = RecordIds(said.records)

    def concerns(self, names: frozenset[str]) -> bool:
        """Whether it concerns a category with these `names` (`concern.lineage`)."""
        return not self._categories or bool(self._categories & names)

    def rows(self, columns: Columns) -> Mask:
        """Tell which rows of a category that it concerns it holds."""
        if self.everyone:
            return np.ones(len(columns), np.bool_)
        return has_subjects(columns, self._refs) | self._records.rows(columns)


def read(hold_id: str, value: bytes) -> Hold:
    """Read a row of kind HOLD_BODY."""
    head, subjects = rows.split(value)
    return Hold(HoldDef.unpack(head), subjects, legal=not hold_id.startswith(RESTRICTION))


def _of(work: Work, org_name: str) -> list[Hold]:
    """Return an org's holds."""
    org = work.org(org_name)
    if org is None or not org.holds:
        return []

    def load() -> tuple[int, list[Hold]]:
        found = list(work.store.scan(keys.HOLD_BODY + keys.text(org_name)))
        return 4 * sum(len(value) for _, value in found), [read(keys.read_order(key)[1], value) for key, value in found]

    key = keys.HOLD_BODY + keys.text(org_name) + keys.u64(org.holds_version)
    return work.context.memo.get(key, load)


def whole(work: Work, org_name: str, category: str) -> bool:
    """Whether all records of a category of an org are held."""
    found = [hold for hold in _of(work, org_name) if hold.everyone]
    return bool(found) and any(hold.concerns(lineage(work.rules, category)) for hold in found)


def mask(work: Work, org_name: str, category: str, columns: Columns, *, legal: bool = False) -> Mask | None:
    """Tell which rows are held, with `legal` by a legal hold; None: none is."""
    found = [hold for hold in _of(work, org_name) if hold.legal or not legal]
    if not found or not len(columns):
        return None
    names = lineage(work.rules, category)
    held = np.zeros(len(columns), np.bool_)
    for hold in found:
        if hold.concerns(names):
            held |= hold.rows(columns)
    return held if bool(held.any()) else None
