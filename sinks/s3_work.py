"""One batch on its way through the buckets of an S3 target: whose an object is, and what became of each row. Pure.

Used by `sinks.s3`; `tests/unit/sinks/test_s3_work.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.s3plan import S3Plan
from sinks.batch import Batch, Receipt, RowOutcome

LOCK: Final = "lock"
CANNOT: Final = "cannot"
FAILED: Final = "failed"

_FIRST: Final = (LOCK, CANNOT, FAILED)
"""Which reason is told when a row has several."""


@dataclass(slots=True)
class Progress:
    """What the tries of one batch have found and begun to change, row by row, though they end early."""

    found: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)


class Work:
    """A batch, and the rows of its records by key or prefix. `others` are the target's plans of other categories."""

    def __init__(self, batch: Batch, plan: S3Plan, others: Sequence[S3Plan], progress: Progress) -> None:
        self.batch = batch
        self.plan = plan
        self.progress = progress
        self.rows: dict[str, int] = {}
        self.left: dict[int, set[str]] = {}
        self._others = others
        for row, record_id in enumerate(batch.record_ids):
            place = plan.template.of(batch.org, record_id)
            if place is None or (not plan.template.whole and self.is_foreign(place)):
                self.leave(row, CANNOT)
            else:
                self.rows.setdefault(place, row)

    def is_foreign(self, key: str) -> bool:
        """Whether the object is another org's by the plan of another category."""
        owners = (plan.template.parse(key) for plan in self._others)
        return any(owner is not None and owner[0] != self.batch.org for owner in owners)

    def rows_of(self, key: str) -> tuple[int, ...]:
        """Return the row of the record that an object belongs to, none if that is not in the batch."""
        owner = self.plan.template.parse(key)
        if owner is None or owner[0] != self.batch.org or self.is_foreign(key):
            return ()
        row = self.rows.get(self.plan.template.of(*owner) or "")
        return () if row is None else (row,)

    @property
    def uploads_from(self) -> str:
        """Where to look for uploads: under the only record's key, or in one listing under all of the org's."""
        return next(iter(self.rows)) if len(self.rows) == 1 else self.plan.template.under(self.batch.org)

    def begin(self, row: int) -> None:
        """Note that something of a row is there and is about to be changed."""
        self.progress.found.add(row)
        self.progress.touched.add(row)

    def leave(self, row: int, reason: str) -> None:
        """Note why a row, or a part of it, stays."""
        self.left.setdefault(row, set()).add(reason)

    def receipt(self) -> Receipt:
        told = {row: next(r for r in _FIRST if r in reasons) for row, reasons in self.left.items()}
        found = self.progress.found
        return Receipt(
            batch_id=self.batch.id,
            rows=self.batch.rows,
            found=len(found),
            changed=len(self.progress.touched - set(told)),
            withheld=tuple(RowOutcome(row, reason) for row, reason in sorted(told.items()) if reason != FAILED),
            failed=tuple(RowOutcome(row, FAILED) for row, reason in sorted(told.items()) if reason == FAILED),
        )
