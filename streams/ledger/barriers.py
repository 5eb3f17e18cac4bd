"""What stands to be erased: an org's requests for erasure, ready to ask.

A request stays as a barrier: what it concerns and was created at or before its `through` goes whenever it is seen.
An org without requests has a 0 in its row and pays nothing. Used by everything that stores rows, queues them or sends
them; commands are in `streams.ledger.erase`. `tests/unit/streams/ledger/test_barriers.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import Body
from schemas.columns import Columns
from streams.ledger import keys, rows
from streams.ledger.concern import Mask, Owners, Refs, has_subjects, lineage
from streams.ledger.rows import Row
from streams.ledger.state import Work


@dataclass(slots=True, frozen=True)
class RequestDef(Row):
    """What a request says: it never changes. Its subject references follow in the row, 8 bytes each.

    `through_s`: seconds since the epoch. A clock is a whole second, so what was created within it counts. `deadline`:
    by when it is to be done, in ms since the epoch, 0: at no set time.
    """

    everyone: bool
    categories: list[str]
    through_s: int
    deadline: int = 0


class Barrier:
    """One request, ready to ask."""

    def __init__(self, order: str, said: RequestDef, subjects: bytes) -> None:
        self.id = order
        self.everyone = said.everyone
        self.through_s = said.through_s
        self.refs = Refs.read(subjects)
        self._categories = frozenset(said.categories)

    def concerns(self, names: frozenset[str]) -> bool:
        """Whether it concerns a category with these `names` (`concern.lineage`)."""
        return not self._categories or bool(self._categories & names)

    def rows(self, columns: Columns) -> Mask:
        """Tell which rows of a category that it concerns it erases."""
        old: Mask = columns.clocks <= self.through_s
        return old if self.everyone or not bool(old.any()) else old & has_subjects(columns, self.refs)

    def rows_of(self, body: Body) -> NDArray[np.intp]:
        """Return the ordinals of `rows` of a body: its clocks are read only where its subjects are met."""
        if self.everyone:
            return np.flatnonzero(body.clocks <= self.through_s)
        hit = self.refs.among(body.references)
        if not len(hit):
            return hit
        met = body.met(hit)
        return met[body.clocks_of(met) <= self.through_s]


class Barriers:
    """All requests of one org: an org may have thousands, of which a few concern what is asked about."""

    def __init__(self, found: Iterable[Barrier]) -> None:
        self.by_id = {barrier.id: barrier for barrier in found}
        all_of = list(self.by_id.values())
        self._owners = Owners([barrier.refs for barrier in all_of])
        self._all = np.array([barrier.everyone for barrier in all_of], np.bool_)
        self._through_s = max((barrier.through_s for barrier in all_of), default=-1)

    def met(self, names: frozenset[str], columns: Columns) -> dict[str, Mask]:
        """Return for each request that concerns any of the rows which ones."""
        if not bool((columns.clocks <= self._through_s).any()):
            return {}
        may = self._all | self._owners.of(columns.subjects)
        asked = [barrier for barrier, one in zip(self.by_id.values(), may, strict=True) if one]
        found = {barrier.id: barrier.rows(columns) for barrier in asked if barrier.concerns(names)}
        return {order: mask for order, mask in found.items() if bool(mask.any())}


def of(work: Work, org_name: str) -> Barriers | None:
    """Return an org's requests; None: it has none, or is not open here."""
    org = work.org(org_name)
    if org is None or not org.barriers or not org.open:
        return None

    def load() -> tuple[int, Barriers]:
        found = list(work.store.scan(keys.REQUEST_BODY + keys.text(org_name)))
        read = Barriers(Barrier(keys.read_order(key)[1], *_read(value)) for key, value in found)
        return 4 * sum(len(value) for _, value in found), read

    key = keys.REQUEST_BODY + keys.text(org_name) + keys.u64(org.barriers_version)
    return work.context.memo.get(key, load)


def _read(value: bytes) -> tuple[RequestDef, bytes]:
    head, subjects = rows.split(value)
    return RequestDef.unpack(head), subjects


def met(work: Work, org_name: str, category: str, columns: Columns) -> dict[str, Mask]:
    """Return for each request of the org that concerns any of the rows which ones."""
    found = of(work, org_name)
    return found.met(lineage(work.rules, category), columns) if found is not None and len(columns) else {}


def may_concern(work: Work, org_name: str, category: str, oldest_s: int) -> bool:
    """Whether a request could concern rows of a category of which the oldest clock is known."""
    found = of(work, org_name)
    if found is None:
        return False
    names = lineage(work.rules, category)
    return any(oldest_s <= barrier.through_s and barrier.concerns(names) for barrier in found.by_id.values())


def groups(masks: dict[str, Mask], n: int) -> list[tuple[list[str], NDArray[np.intp]]]:
    """Return the n rows by the requests that concern them, those that none concerns first."""
    code = np.zeros(n, np.int64)
    sets: list[list[str]] = [[]]
    for order in sorted(masks):
        grown = len(sets)
        joined = code * 2 + masks[order]
        distinct, code = np.unique(joined, return_inverse=True)
        sets = [sets[value // 2] + ([order] if value % 2 else []) for value in distinct.tolist()]
        assert len(sets) <= 2 * grown
    found = [(ids, np.flatnonzero(code == i)) for i, ids in enumerate(sets)]
    return sorted((ids, at) for ids, at in found if len(at))
