"""The fake target that ships in the package: a dictionary that keeps every promise of the protocol, and can be told
to break down.

For tests of whatever uses a sink, and for a first look without a store. `tests/contract/test_sinks.py` holds it to
the same promises as the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any

from schemas.plans import FieldAction
from sinks.anonymise import Anonymiser
from sinks.base import Job, NoPlan, Outcome, Page, Positions, SinkUnavailable, Source, Span, StoreWentBack, Upkeep
from sinks.batch import ANONYMISE, DELETE, Batch, Receipt, RowOutcome
from sinks.export import Left, Row, Rows, Wanted, value_of
from sinks.gone import DELETED, Bound, Gone, Unknown
from sinks.hiding import HIDE, NOT_HERE, UNHIDE, Hidden, HideOrder
from sinks.json_fields import anonymised


@dataclass(slots=True)
class Faults:
    """What goes wrong, and how often: counted down with each call of `apply`.

    `away`: it does not answer. `lost_after`: the transaction commits, and the answer is lost. `refusing` are
    (org, record id) that cannot be erased.
    """

    away: int = 0
    lost_after: int = 0
    refusing: set[tuple[str, str]] = field(default_factory=set, repr=False)


@dataclass(slots=True)
class Contents:
    """All that the store holds: what a restart finds. `hidden` are rows that no reader sees, by what hid them."""

    rows: dict[tuple[str, str, str], dict[str, object]] = field(default_factory=dict, repr=False)
    hidden: dict[tuple[str, str, str], int] = field(default_factory=dict, repr=False)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    receipts: dict[tuple[str, bytes], Receipt] = field(default_factory=dict)
    orders: dict[tuple[str, bytes], Hidden] = field(default_factory=dict)


class MemorySink:
    """A target of JSON-like rows by (category, org, record id). `plans` maps a category to its fields to anonymise."""

    def __init__(
        self,
        name: str,
        plans: Mapping[str, Mapping[str, FieldAction]],
        *,
        anonymiser: Anonymiser,
        contents: Contents | None = None,
        faults: Faults | None = None,
        inventory: Callable[[Mapping[str, Any] | None], Page] | None = None,
    ) -> None:
        self._name = name
        self._plans = dict(plans)
        self._anonymiser = anonymiser
        self._inventory = inventory
        self.contents = contents or Contents()
        self.faults = faults or Faults()

    @property
    def name(self) -> str:
        return self._name

    @property
    def positions(self) -> Positions:
        return self

    def check(self) -> None:
        """A dictionary fits every plan."""

    def plan(self, category: str, action: str) -> str:
        fields = self._plans.get(category)
        if fields is None or (action == ANONYMISE and not fields):
            raise NoPlan(self._name, category, action)
        return f"{action} rows of {category} in memory"

    def read(self, source: Source, partitions: Sequence[int]) -> dict[int, int | None]:
        return {partition: self.contents.positions.get((source.id, partition)) for partition in partitions}

    def adopt(self, source: Source, starts: Mapping[int, int]) -> None:
        for partition, offset in starts.items():
            self.contents.positions.setdefault((source.id, partition), offset)

    def apply(self, source: Source, jobs: Sequence[Job], spans: Mapping[int, Span]) -> list[Outcome]:
        for job in jobs:
            self.plan(job.batch.category, job.batch.action)
        after = self._begun(source, spans)
        outcomes = [Outcome(receipt=self._once(after, source, job.batch)) for job in jobs]
        self._commit(after)
        return outcomes

    def hide(self, source: Source, order: HideOrder, spans: Mapping[int, Span]) -> Hidden:
        after = self._begun(source, spans)
        place = (source.id, order.digest)
        if place not in after.orders:
            after.orders[place] = self._hide(after, order) if order.category in self._plans else NOT_HERE
        self._commit(after)
        return after.orders[place]

    def _hide(self, contents: Contents, order: HideOrder) -> Hidden:
        of_order = [place for place in contents.rows if place[:2] == (order.category, order.org)]
        if order.action == HIDE:
            for place in of_order:
                contents.hidden.setdefault(place, order.stamp)
        ours = [place for place in of_order if contents.hidden.get(place) == order.stamp]
        if order.action == UNHIDE:
            for place in ours:
                del contents.hidden[place]
        return Hidden.of(len(ours), 0)

    def _begun(self, source: Source, spans: Mapping[int, Span]) -> Contents:
        """Return the contents as a transaction sees them, its positions moved."""
        if self.faults.away:
            self.faults.away -= 1
            raise SinkUnavailable(self._name, "a planted fault")
        after = deepcopy(self.contents)
        for partition, span in spans.items():
            stored = after.positions.get((source.id, partition))
            if stored is None or stored < span.first:
                raise StoreWentBack(self._name, partition, stored, span.first)
            after.positions[source.id, partition] = max(stored, span.next)
        return after

    def _commit(self, after: Contents) -> None:
        for part in fields(Contents):
            setattr(self.contents, part.name, getattr(after, part.name))
        if self.faults.lost_after:
            self.faults.lost_after -= 1
            raise SinkUnavailable(self._name, "a planted fault, after the commit")

    def verify(self, batch: Batch) -> int | Unknown:
        fields = self._plans.get(batch.category)
        if fields is None:
            return Unknown(str(NoPlan(self._name, batch.category, batch.action)))
        held = [row for i in set(batch.record_ids) if (row := self.contents.rows.get((batch.category, batch.org, i)))]
        if batch.action == DELETE:
            return len(held)
        return sum(anonymised(row, fields, batch.org, self._anonymiser) != row for row in held)

    def bound(self) -> Bound:
        return Bound(
            level=DELETED,
            gone_within_s=Unknown("when the interpreter uses its memory again is not seen from here"),
            depends_on="the interpreter's memory",
        )

    def gone(self, batches: Sequence[Batch]) -> list[Gone]:
        return [Gone.deleted(self.verify(batch), "the interpreter's memory cannot be read") for batch in batches]

    def upkeep(self) -> Upkeep:
        """A dictionary needs none."""
        return Upkeep()

    def inventory(self, cursor: Mapping[str, Any] | None) -> Page:
        if self._inventory is None:
            return Page(records=(), cursor=None)
        return self._inventory(cursor)

    def export(self, wanted: Wanted) -> Rows:
        self.plan(wanted.category, DELETE)
        if self.faults.away:
            self.faults.away -= 1
            raise SinkUnavailable(self._name, "a planted fault")
        places = [(wanted.category, wanted.org, record_id) for record_id in wanted.record_ids]
        found = [(n, row) for n, place in enumerate(places) if (row := self.contents.rows.get(place)) is not None]
        columns = tuple(sorted({name for _, row in found for name in row}))

        def rows() -> Generator[Row | Left, None, None]:
            for n, row in found:
                yield Row(n, tuple(value_of(row.get(name)) for name in columns))

        return Rows(columns, rows())

    def close(self) -> None: ...

    def _once(self, contents: Contents, source: Source, batch: Batch) -> Receipt:
        place = (source.id, batch.digest)
        if place not in contents.receipts:
            contents.receipts[place] = self._effect(contents, batch)
        return contents.receipts[place]

    def _effect(self, contents: Contents, batch: Batch) -> Receipt:
        found = changed = 0
        failed = []
        for record_id, ordinal in {i: n for n, i in reversed(list(enumerate(batch.record_ids)))}.items():
            place = (batch.category, batch.org, record_id)
            row = contents.rows.get(place)
            if row is None:
                continue
            found += 1
            if (batch.org, record_id) in self.faults.refusing:
                failed.append(RowOutcome(ordinal, "failed"))
            elif batch.action == DELETE:
                del contents.rows[place]
                contents.hidden.pop(place, None)
                changed += 1
            else:
                new = anonymised(row, self._plans[batch.category], batch.org, self._anonymiser)
                changed += new != row
                contents.rows[place] = new
        return Receipt(batch_id=batch.id, rows=batch.rows, found=found, changed=changed, failed=tuple(failed))
