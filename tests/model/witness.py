"""The witness: holds every batch and ack of one partition against the oracle, in the order of the committed log.

Called by the simulator for each committed entry with what it sent; raises `Broken` at the first broken promise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.model.facts import EraseSaid, Fact, HoldSaid, ReleaseSaid
from tests.model.history import DAY_S
from tests.model.known import Id, Row
from tests.model.oracle import Oracle
from tests.model.order_witness import OrderWitness
from tests.model.proof_witness import ProofWitness


class Broken(AssertionError):
    """A promise of docs/ledger.md does not hold; `key` is the record it does not hold for, where there is one."""

    def __init__(self, text: str, *, partition: int = 0, key: Id | None = None) -> None:
        super().__init__(text)
        self.partition = partition
        self.key = key


@dataclass(slots=True)
class Sent:
    """A batch as it was first sent; `clocks` are those of its rows, which only the ledger's own row of it says.

    `requested`: all its rows are a request's, whatever it is sent for now.
    """

    raw: bytes = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    clocks: list[int]
    forced: bool
    pending: bool = True
    requested: bool = False


def rows_of(batch: Sent) -> list[tuple[Id, int]]:
    """Return the records of a batch, each with its clock."""
    org, category, ids = batch.record["org"], batch.record["category"], batch.record["record_ids"]
    return [((org, category, name), clock) for name, clock in zip(ids, batch.clocks, strict=True)]


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
        self.withdrawn = 0
        self.orders = OrderWitness(self.oracle)
        self.proofs = ProofWitness(self.oracle)
        self._again: list[Sent] = []
        self._rest: list[Sent] = []  # of withdrawn batches, in the order of their acks
        self._gone: list[Id] = []
        self._twins: dict[tuple[Id, str], list[int]] = defaultdict(list)

    def entry(self, fact: Fact | None, acks: Sequence[dict[str, Any]], log_ms: int) -> list[tuple[str, str]]:
        """Take in an entry; return the (target, batch id)s that the ledger must send again because of it."""
        if fact is not None:
            self.oracle.tell(fact, log_ms)
            if isinstance(fact, HoldSaid | ReleaseSaid | EraseSaid):
                self.orders.told(fact)
        return [name for ack in acks if (name := self._acked(ack)) is not None]

    def _acked(self, ack: dict[str, Any]) -> tuple[str, str] | None:
        name = (ack["target"], ack["batch_id"])
        batch = self.batches.get(name)
        rows = sorted({r["row"] for r in (*ack["withheld"], *ack["failed"])})
        if batch is None or not batch.pending or (rows and rows[-1] >= len(batch.clocks)):
            return None
        if ack["outcome"] == "retry":
            return None if self._withdraw(name, batch) else name
        if ack["outcome"] == "restored" or ack["level"] == "hidden":
            return None
        record = batch.record
        how = {"forced": batch.forced, "requested": batch.requested}
        sure = self.orders.acked(name, rows_of(batch), set(rows), **how)
        went = [row for at, row in enumerate(rows_of(batch)) if at not in rows]
        self.proofs.acked(name, record, went, ack, {**how, "sure": sure})
        self._settle(name, batch)
        for row in rows:
            key = (record["org"], record["category"], record["record_ids"][row])
            self._give_back(key, name[0], batch, batch.clocks[row])
            self.returned += 1
        return None

    def _give_back(self, key: Id, target: str, batch: Sent, clock: int) -> None:
        requested = batch.requested and not batch.forced
        self.oracle.give_back(key, target, clock, forced=batch.forced, requested=requested)

    def _settle(self, name: tuple[str, str], batch: Sent) -> None:
        batch.pending = False
        self.pending[name[0]] -= 1
        self.orders.settled(name)

    def _withdraw(self, name: tuple[str, str], batch: Sent) -> bool:
        """A batch is asked for again: if rows of it are held since, it is withdrawn, and the rest must be sent anew."""
        rows = rows_of(batch)
        held = [self.oracle.is_held(key) for key, _ in rows]
        if not any(held):
            return False
        self._settle(name, batch)
        for (key, clock), is_held in zip(rows, held, strict=True):
            if is_held:
                self._give_back(key, name[0], batch, clock)
        left = [row for row, is_held in zip(rows, held, strict=True) if not is_held]
        if left:
            record = {**batch.record, "record_ids": [key[2] for key, _ in left]}
            clocks = [clock for _, clock in left]
            self._rest.append(Sent(b"", record, clocks, batch.forced, requested=batch.requested))
        self.withdrawn += 1
        return True

    def _is_rest(self, name: tuple[str, str], batch: Sent) -> bool:
        """Whether a new batch is what is left of a withdrawn one."""
        rest = self._rest[0] if self._rest else None
        if rest is None or {**batch.record, "batch_id": ""} != {**rest.record, "batch_id": ""}:
            return False
        if (batch.clocks, batch.forced) != (rest.clocks, rest.forced):
            raise Broken(f"batch {name} is not what is left of the withdrawn one: {rest.record}")
        self._rest.pop(0)
        self._known(name, batch, rest)
        return True

    def _known(self, name: tuple[str, str], batch: Sent, like: Sent) -> None:
        batch.requested = like.requested
        self.batches[name] = batch
        self.orders.sent(name, rows_of(batch), taken=False)
        self.pending[name[0]] += 1

    def verified(self, ack: dict[str, Any]) -> None:
        """Take in what a target says of a batch that it was asked about."""
        back = self.proofs.answered(ack)
        if back is not None:
            self.orders.found_again(ack["target"], back.sure)

    def proven(
        self, put: set[tuple[str, str]], dropped: list[tuple[str, str]], anew: dict[tuple[str, str], list[int]]
    ) -> None:
        """Take in which proof rows an entry put and dropped; what is found again must be sent by it, if it may go."""
        for name, proof in self.proofs.rows_changed(put, dropped):
            spared = self.proofs.spared(proof, anew.get(name, ()))
            back = [row for n, row in enumerate(proof.rows) if n not in spared]
            free = [row for row in back if not self.oracle.is_held(row[0])]
            for key, clock in back:
                if (key, clock) not in free:
                    requested = proof.requested and not proof.forced
                    self.oracle.give_back(key, name[0], clock, forced=proof.forced, requested=requested)
            if free:
                record = {**proof.record, "record_ids": [key[2] for key, _ in free], "reason": "residual"}
                clocks = [clock for _, clock in free]
                self._again.append(Sent(b"", record, clocks, proof.forced, requested=proof.requested))

    def _is_again(self, name: tuple[str, str], batch: Sent) -> bool:
        """Whether a new batch is of what was acknowledged and is there again."""
        for again in self._again:
            if {**batch.record, "batch_id": ""} == {**again.record, "batch_id": ""} and batch.clocks == again.clocks:
                self._again.remove(again)
                self._known(name, batch, again)
                return True
        return False

    def sent(self, batches: list[Sent], again: list[tuple[str, str]]) -> None:
        """Judge the batches that one entry sent, in their order."""
        touched: list[Row] = []
        for batch in batches:
            name = (batch.record["target"], batch.record["batch_id"])
            known = self.batches.get(name)
            if known is None and (self._is_rest(name, batch) or self._is_again(name, batch)):
                continue
            if known is None:
                self._new(name, batch, touched)
                continue
            if known.raw != batch.raw:
                raise Broken(f"batch {name} was sent again with other content")
            if not known.pending and name not in again:  # an ack behind that which asked may have settled it
                raise Broken(f"batch {name} was settled, and its id is used again")
            held = [key for key, _ in rows_of(known) if self.oracle.is_held(key)]
            if held:
                raise Broken(f"batch {name} is sent again with held rows", partition=self.partition, key=held[0])
            self.resent += 1
            again = [other for other in again if other != name]
        if again:
            raise Broken(f"the target asked for batch {again[0]} again and did not get it")
        if self._rest:
            raise Broken(f"what is left of a withdrawn batch was not sent: {self._rest[0].record}")
        if self._again:
            raise Broken(f"what is there again was not sent: {self._again[0].record}")
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
        org, category, target = record["org"], record["category"], record["target"]
        if not batch.clocks or record["as_of_day"] != oracle.today:
            raise Broken(f"batch {name} is empty, or not of the ledger's day {oracle.today}: {record['as_of_day']}")
        if category not in oracle.kinds or target not in oracle.kinds[category].targets:
            raise Broken(f"batch {name} is of category {category!r}, which has no target {target!r}")
        if record["action"] != oracle.held(org, category).action:
            raise Broken(f"batch {name} is to {record['action']}, the policy says {oracle.held(org, category).action}")
        requested = batch.requested = record["reason"] == "request"
        if batch.forced:
            self._let_children_follow()
        for key, clock in rows_of(batch):
            if batch.forced:
                known = self._followed(key, target, clock)
            else:
                known = self._own(key, target, clock, touched, requested) or self._twin(key, target, clock)
            if not known:
                raise Broken(self._why(key, target), partition=self.partition, key=key)
        self.orders.sent(name, rows_of(batch), taken=requested and not batch.forced)
        self.batches[name] = batch
        self.pending[target] += 1
        self.erased += len(batch.clocks)

    def _own(self, key: Id, target: str, clock: int, touched: list[Row], requested: bool) -> bool:
        """Match a batch's row with records that are due: one of that clock, and its twins that were read with it."""
        oracle = self.oracle
        found = [
            row
            for row in oracle.rows.get(key, ())
            if row.live
            and row.at // DAY_S == clock // DAY_S
            and row.at <= clock
            and target not in row.got
            and oracle.may_go(row, requested=requested)
            and target in oracle.wanted(row)[0]
        ]
        if not found:
            return False
        for row in found:
            row.got.add(target)
            touched.append(row)
        self._twins[key, target] += sorted(row.at for row in found)[:-1]
        self._gone.append(key)
        return True

    def _followed(self, key: Id, target: str, clock: int) -> bool:
        """Match a batch's row with a derived record that follows its source."""
        oracle = self.oracle
        waiting = [
            f
            for f in oracle.forced.get(key, ())
            if f.target == target
            and f.at == clock
            and oracle.follow_day(f) <= oracle.today
            and not oracle.is_held(key)
            and not oracle.is_deleted(key, f.at + 1, target)
        ]
        if not waiting:
            return False
        oracle.forced[key].remove(min(waiting, key=lambda f: not f.sure))
        self.followed += 1
        self._gone.append(key)
        return True

    def _twin(self, key: Id, target: str, clock: int) -> bool:
        """Match a batch's row with a twin of what was erased before: it finds nothing, but its children follow."""
        twins = self._twins.get((key, target), [])
        if clock not in twins:
            return False
        twins.remove(clock)
        self._gone.append(key)
        return True

    def _why(self, key: Id, target: str) -> str:
        oracle = self.oracle
        known = [
            f"created {row.at // 86_400}+{row.at % 86_400}s in {row.target or 'all'}, {'there' if row.live else 'gone'}"
            f"{' (returned)' if row.returned else ''}, due on {oracle.due_days(row)[0]} in "
            f"{sorted(oracle.wanted(row)[0])}"
            for row in oracle.rows.get(key, ())
        ]
        return f"day {oracle.today}: {key} is to be erased from {target!r}, but is not due there: {known or 'unknown'}"

    def twins_left(self, org: str) -> list[tuple[Id, str, int]]:
        """Return rows of an org that went in the name of a twin, and may lie in a segment of their own yet."""
        return [(key, target, at) for (key, target), ats in self._twins.items() for at in ats if key[0] == org]

    def check_all_gone(self) -> None:
        """Raise Broken if anything that is due now was not sent, or an order is not carried out."""
        late = list(self.oracle.overdue())
        if late:
            key, target, since = late[0]
            raise Broken(
                f"day {self.oracle.today}: {len(late)} are late; {key} must be gone from {target!r} since day {since}",
                partition=self.partition,
                key=key,
            )
        self.check_orders()

    def check_orders(self) -> None:
        """Raise Broken if an order is not carried out."""
        try:
            self.orders.check()
            self.proofs.check()
        except AssertionError as e:
            raise Broken(f"day {self.oracle.today}: {e}", partition=self.partition) from e
