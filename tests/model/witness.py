"""The witness: holds every batch and ack of one partition against the oracle, in the order of the committed log.

Called by the simulator for each committed entry with what it sent; raises `Broken` at the first broken promise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from tests.model.facts import Fact
from tests.model.known import Id, Row
from tests.model.oracle import Oracle


class Broken(AssertionError):
    """A promise of docs/ledger.md does not hold; `key` is the record it does not hold for, where there is one."""

    def __init__(self, text: str, *, partition: int = 0, key: Id | None = None) -> None:
        super().__init__(text)
        self.partition = partition
        self.key = key


@dataclass(slots=True)
class Sent:
    """A batch as it was first sent; `clocks` are those of the records that each row may be."""

    raw: bytes = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    clocks: list[tuple[int, ...]]
    forced: bool
    pending: bool = True


class Witness:
    """One partition's batches, from sent to settled."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.oracle = Oracle()
        self.batches: dict[tuple[str, str], Sent] = {}
        self.pending: dict[str, int] = defaultdict(int)
        self.erased = 0
        self.resent = 0
        self.returned = 0
        self.followed = 0
        self._gone: list[Id] = []
        self._twins: dict[tuple[Id, str], list[int]] = defaultdict(list)

    def entry(self, fact: Fact | None, acked: dict[str, Any] | None, log_ms: int) -> tuple[str, str] | None:
        """Take in an entry; return the (target, batch id) that the ledger must send again because of it."""
        if fact is not None:
            self.oracle.tell(fact, log_ms)
        return self._acked(acked) if acked is not None else None

    def _acked(self, ack: dict[str, Any]) -> tuple[str, str] | None:
        name = (ack["target"], ack["batch_id"])
        batch = self.batches.get(name)
        rows = sorted({r["row"] for r in (*ack["withheld"], *ack["failed"])})
        if batch is None or not batch.pending or (rows and rows[-1] >= len(batch.clocks)):
            return None
        if ack["outcome"] == "retry":
            return name
        if ack["outcome"] == "restored" or ack["level"] == "hidden":
            return None
        batch.pending = False
        self.pending[name[0]] -= 1
        record = batch.record
        for row in rows:
            key = (record["org"], record["category"], record["record_ids"][row])
            clocks = batch.clocks[row]
            for clock in clocks:  # of several it was one, and the log does not say which
                self.oracle.give_back(key, name[0], clock, forced=batch.forced, sure=len(clocks) == 1)
            self.returned += 1
        return None

    def sent(
        self, batches: list[tuple[dict[str, Any], bytes]], again: tuple[str, str] | None, forced: Set[tuple[str, str]]
    ) -> None:
        """Judge the batches that one entry sent, in their order; of those in `forced` records follow their sources."""
        touched: list[Row] = []
        for record, raw in batches:
            name = (record["target"], record["batch_id"])
            known = self.batches.get(name)
            if known is None:
                self._new(name, Sent(raw, record, [], forced=name in forced), touched)
                continue
            if known.raw != raw:
                raise Broken(f"batch {name} was sent again with other content")
            if not known.pending:
                raise Broken(f"batch {name} was settled, and its id is used again")
            self.resent += 1
            again = None if again == name else again
        if again is not None:
            raise Broken(f"the target asked for batch {again} again and did not get it")
        for row in touched:
            if row.live and not self.oracle.wanted(row)[1] - row.got:
                row.live = False
        self._let_children_follow()
        self._check_room()

    def _let_children_follow(self) -> None:
        """Do so after what was erased at once, in all its targets."""
        for key in self._gone:
            self.oracle.erased(key)
        self._gone.clear()

    def _check_room(self) -> None:
        for target, count in self.pending.items():
            if count > self.oracle.room:
                raise Broken(f"{count} batches are pending for target {target!r}; {self.oracle.room} is the bound")

    def _new(self, name: tuple[str, str], batch: Sent, touched: list[Row]) -> None:
        oracle, record = self.oracle, batch.record
        org, category, target, ids = record["org"], record["category"], record["target"], record["record_ids"]
        if not ids or record["as_of_day"] != oracle.today:
            raise Broken(f"batch {name} is empty, or not of the ledger's day {oracle.today}: {record['as_of_day']}")
        if category not in oracle.kinds or target not in oracle.kinds[category].targets:
            raise Broken(f"batch {name} is of category {category!r}, which has no target {target!r}")
        if record["action"] != oracle.held(org, category).action:
            raise Broken(f"batch {name} is to {record['action']}, the policy says {oracle.held(org, category).action}")
        if batch.forced:
            self._let_children_follow()
        for record_id in ids:
            key = (org, category, record_id)
            if batch.forced:
                clock = self._followed(key, target)
            else:
                clock = self._own(key, target, touched) or self._twin(key, target)
            if clock is None:
                raise Broken(self._why(key, target), partition=self.partition, key=key)
            batch.clocks.append(clock)
        self.batches[name] = batch
        self.pending[target] += 1
        self.erased += len(ids)

    def _own(self, key: Id, target: str, touched: list[Row]) -> tuple[int, ...] | None:
        """Match a batch's row with records that are due; return their clocks."""
        oracle = self.oracle
        found = [
            row
            for row in oracle.rows.get(key, ())
            if row.live
            and target not in row.got
            and oracle.due_days(row)[0] <= oracle.today
            and target in oracle.wanted(row)[0]
        ]
        if not found:
            return None
        for row in found:
            row.got.add(target)
            touched.append(row)
        self._twins[key, target] += sorted(row.at for row in found)[:-1]
        self._gone.append(key)
        return tuple(sorted({row.at for row in found}))

    def _followed(self, key: Id, target: str) -> tuple[int, ...] | None:
        """Match a batch's row with a derived record that follows its source."""
        oracle = self.oracle
        waiting = [
            f
            for f in oracle.forced.get(key, ())
            if f.target == target and f.day <= oracle.today and not oracle.is_deleted(key, f.at + 1, target)
        ]
        if not waiting:
            return None
        chosen = min(waiting, key=lambda f: not f.sure)
        oracle.forced[key].remove(chosen)
        self.followed += 1
        self._gone.append(key)
        return (chosen.at,)

    def _twin(self, key: Id, target: str) -> tuple[int, ...] | None:
        """Match a batch's row with a twin of what was erased before: it finds nothing, but its children follow."""
        twins = self._twins.get((key, target))
        if not twins:
            return None
        self._gone.append(key)
        return (twins.pop(),)

    def _why(self, key: Id, target: str) -> str:
        oracle = self.oracle
        known = [
            f"created {row.at // 86_400}+{row.at % 86_400}s in {row.target or 'all'}, {'there' if row.live else 'gone'}"
            f"{' (returned)' if row.returned else ''}, due on {oracle.due_days(row)[0]} in "
            f"{sorted(oracle.wanted(row)[0])}"
            for row in oracle.rows.get(key, ())
        ]
        return f"day {oracle.today}: {key} is to be erased from {target!r}, but is not due there: {known or 'unknown'}"

    def check_all_gone(self) -> None:
        """Raise Broken if anything that is due now was not sent."""
        late = list(self.oracle.overdue())
        if late:
            key, target, since = late[0]
            raise Broken(
                f"day {self.oracle.today}: {len(late)} are late; {key} must be gone from {target!r} since day {since}",
                partition=self.partition,
                key=key,
            )
