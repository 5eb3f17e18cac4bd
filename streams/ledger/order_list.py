"""A list whose records are not told to the exporter but ordered: what a request says of each, in each target that can.

The same rows are listed as for an export (`select_list`), so each record that exists is ordered once, and nobody
else's. Left out, and counted, is what is under a legal hold (to be rectified: evidence stays as it is), what is on its
way to be erased, and what lies where it cannot be done. Used by `selects`;
`tests/unit/streams/ledger/test_record_orders.py` says what it promises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.bodies import decode_columns
from schemas.columns import Columns
from streams.ledger import holds, keys, record_orders, rows
from streams.ledger.concern import Mask, RecordIds
from streams.ledger.rows import RECTIFY, PendingHead
from streams.ledger.select_list import ORDERS, Ask, Lister
from streams.ledger.snapshots import Run
from streams.ledger.state import Work


def ask_of(record: dict[str, Any]) -> Ask:
    """Return what a list of records to be ordered is asked for."""
    categories = sorted(part["category"] for part in record["parts"])
    return Ask(record["request_id"], record["epoch"], everyone=False, categories=categories, options="", purpose=ORDERS)


class OrderLister(Lister):
    """Orders rows of one run; `send` sends them."""

    def __init__(self, work: Work, org: str, run: Run) -> None:
        super().__init__(work, org, run)
        found = record_orders.row_of(work, org, self.ask.request_id)
        if found is None:
            raise KeyError("records are to be ordered, and for what is not there")
        self._row = found
        records, self._parts = record_orders.body_of(work, org, self.ask.request_id)
        self._records = RecordIds(records) if records else None
        self._wanted: dict[tuple[str, str], list[Columns]] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._on_way = False
        self._batched: dict[tuple[str, str], set[str]] = {}

    def concerns(self, category: str) -> bool:
        """Whether it is one that values are given for; none below it is meant."""
        return category in self._parts

    def batch(self, key: bytes, value: bytes) -> None:
        """Count rows of a batch that is on its way to erase them."""
        self._on_way = True
        super().batch(key, value)
        self._on_way = False

    def _count(self, category: str, target: str, columns: Columns, what: str) -> None:
        fresh = self._fresh(category, target, columns)
        self._row.count(target, "due", len(fresh))
        self._row.count(target, what, len(fresh))

    def _fresh(self, category: str, target: str, columns: Columns) -> Columns:
        """Leave out what was met before in this entry."""
        seen = self._seen.setdefault((category, target), set())
        new = []
        for n, name in enumerate(columns.ids.texts()):
            if name not in seen:
                seen.add(name)
                new.append(n)
        return columns if len(new) == len(columns) else columns.take(np.array(new, np.intp))

    def _add(self, category: str, target: str, columns: Columns, mask: Mask) -> None:
        if self._records is not None:
            mask = mask & self._records.rows(columns)
        part = self._parts.get(category)
        if part is None or not bool(mask.any()):
            return
        if target not in part.targets or self._on_way:
            what = "going" if self._on_way else "cannot"
            self._count(category, target, columns.take(np.flatnonzero(mask)), what)
            return
        for what, those in self._kept(category, target, columns):
            self._count(category, target, columns.take(np.flatnonzero(mask & those)), what)
            mask = mask & ~those
        chosen = self._fresh(category, target, columns.take(np.flatnonzero(mask)))
        if len(chosen):
            self._wanted.setdefault((category, target), []).append(chosen)

    def _going_ids(self, category: str, target: str) -> set[str]:
        """Return what is in batches on their way, those of this entry included: a record may lie here twice."""
        if (category, target) not in self._batched:
            ids: set[str] = set()
            for _, value in self._work.store.scan(keys.PENDING + keys.text(target)):
                head_raw, body = rows.split(value)
                head = PendingHead.unpack(head_raw)
                if (head.org, head.category) == (self._org, category):
                    ids.update(decode_columns(body).ids.texts())
            self._batched[category, target] = ids
        return self._batched[category, target]

    def _kept(self, category: str, target: str, columns: Columns) -> list[tuple[str, Mask]]:
        """Tell why rows are left out: a batch on its way erases them, or they are evidence."""
        kept = []
        going = self._going_ids(category, target)
        if going:
            kept.append(("going", np.array([name in going for name in columns.ids.texts()], np.bool_)))
        if self._row.action == RECTIFY:
            held = holds.mask(self._work, self._org, category, columns, legal=True)
            if held is not None:
                kept.append(("hold", held))
        return kept

    def send(self) -> None:
        """Order what was listed."""
        for (category, target), parts in sorted(self._wanted.items(), key=lambda one: one[0]):
            columns = Columns.concat(parts)
            plain = Columns(ids=columns.ids, clocks=columns.clocks, subjects=columns.subjects)
            record_orders.issue(self._work, self._org, self.ask.request_id, category, target, plain)
        if self._wanted or self._seen:
            self._work.ordered.add((self._org, self.ask.request_id))
        self._wanted.clear()

    def end(self) -> None:
        """Note that all was listed."""
        self._row.listed = True
        self._work.ordered.add((self._org, self.ask.request_id))
