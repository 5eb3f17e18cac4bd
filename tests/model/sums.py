"""Holds a state's rows against each other: counts against what they count, and what is known of a record against it.

`check_orders` looks at queues, batches and what requests count of them, each evening; `check_rows` at everything, at
the end of a life. Both raise AssertionError. Used by the simulator.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from schemas.bodies import decode_columns
from schemas.columns import Columns
from schemas.frames import Pack
from streams.lane.overlay import after
from streams.ledger import children, counts, keys, proofs, rows, segments, waiting
from streams.ledger.barriers import Barrier, RequestDef
from streams.ledger.counts import FAILED, HOLD, MIN_RETAIN, WITHHELD, RequestRow
from streams.ledger.marks import Marks
from streams.ledger.rows import (
    ClockRow,
    OrgRow,
    PairRow,
    PendingHead,
    ProofHead,
    ProvingRow,
    Row,
    Segment,
    TargetRow,
)
from streams.ledger.waiting import QueueHead
from tests.model.disk import Disk
from tests.model.orders import names_of
from tests.model.periods import Kind

R = TypeVar("R", bound=Row)
Place = tuple[str, str, str, str, int]
"""Org, category, bucket target, record id, created day."""

_DUE, _UNDECIDED = "due", "undecided"


def of_kind(state: Disk, kind: bytes) -> Iterator[tuple[bytes, bytes]]:
    return state.range(kind, after(kind))


def _queued(state: Disk) -> Iterator[tuple[bytes, str, QueueHead, bytes]]:
    """Yield each row that waits: its kind, org, head and body."""
    for key, value in of_kind(state, keys.AGAIN):
        yield keys.AGAIN, keys.read_again(key)[1], *waiting.read(value)
    for key, value in of_kind(state, keys.FORCED):
        yield keys.FORCED, keys.read_forced(key)[1], *waiting.read(value)
    for key, value in of_kind(state, keys.KEPT):
        yield keys.KEPT, keys.read_text(key, 1)[0], *waiting.read(value)


class Requests:
    """What each request of a state counts, and what there is to count."""

    def __init__(self, state: Disk, kinds: dict[str, Kind]) -> None:
        self._kinds = kinds
        self.there: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self.proofs: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self.rows = {keys.read_order(key): RequestRow.unpack(value) for key, value in of_kind(state, keys.REQUEST)}
        opened = {keys.read_text(k, 1)[0] for k, value in of_kind(state, keys.ORG) if OrgRow.unpack(value).open}
        self._barriers: dict[str, list[Barrier]] = defaultdict(list)
        for key, value in of_kind(state, keys.REQUEST_BODY):
            org, name = keys.read_order(key)
            said, subjects = rows.split(value)
            if org in opened:
                self._barriers[org].append(Barrier(name, RequestDef.unpack(said), subjects))

    def orgs(self) -> set[str]:
        return set(self._barriers)

    def met(self, org: str, category: str, columns: Columns) -> dict[str, int]:
        """Return how many of some rows each request of their org concerns."""
        names = frozenset(names_of(self._kinds, category))
        found = {b.id: int(b.rows(columns).sum()) for b in self._barriers[org] if b.concerns(names)}
        return {name: n for name, n in found.items() if n}

    def must_know(self, org: str, category: str, columns: Columns, known: list[str], where: str) -> None:
        """Hold that those which concern some rows, and search no more, know of them."""
        unknown = [n for n in self.met(org, category, columns) if self.rows[org, n].phase == counts.DONE]
        unknown = [name for name in unknown if name not in known]
        assert not unknown, f"requests {unknown} of {org} concern rows of {category!r} {where}, and know nothing of it"

    def queue(self, org: str, head: QueueHead, body: bytes) -> None:
        """Count a row that waits."""
        if org in self._barriers:
            self.must_know(org, head.category, decode_columns(body), head.requests, "that wait")
        for name in head.requests:
            there = self.there[org, name]
            if head.why in (HOLD, MIN_RETAIN) or not head.counted:
                there[head.why or _UNDECIDED, ""] += head.count
            for target, n in head.counted.items():
                there[_DUE, target] += n
                if head.why in (WITHHELD, FAILED):
                    there[head.why, target] += n

    def batch(self, target: str, head: PendingHead, body: bytes) -> None:
        """Count a batch that is on its way."""
        if head.org in self._barriers:
            columns = decode_columns(body)
            met = self.met(head.org, head.category, columns)
            self.must_know(head.org, head.category, columns, [*head.requests, *head.watch], "on their way")
            for name in head.watch:
                self.there[head.org, name][_DUE, target] += met.get(name, 0)
        for name in head.requests:
            self.there[head.org, name][_DUE, target] += head.count

    def proof(self, target: str, head: ProofHead) -> None:
        """Count a batch that is to be proven; what is back of it is open again."""
        for name, n in head.counted.items():
            there = self.proofs[head.org, name]
            if head.state == proofs.LEFT:
                self.there[head.org, name][_DUE, target] += n
            else:
                there["unproven", target] += n
                there["gone", target] += n * (head.level == proofs.GONE)

    def check(self) -> None:
        for order, row in self.rows.items():
            self._check_proofs(order, row)
            told: Counter[tuple[str, str]] = Counter()
            told[HOLD, ""], told[MIN_RETAIN, ""], told[_UNDECIDED, ""] = row.hold, row.min_retain, row.undecided
            for target, count in row.counts().items():
                told[_DUE, target] = count.due - count.done
                told[WITHHELD, target], told[FAILED, target] = count.withheld, count.failed
            told, there = (Counter({k: n for k, n in c.items() if n}) for c in (told, self.there[order]))
            assert told == there, f"request {order} counts {dict(told)}, there are {dict(there)}"

    def _check_proofs(self, order: tuple[str, str], row: RequestRow) -> None:
        told: Counter[tuple[str, str]] = Counter()
        for target, count in row.counts().items():
            told["unproven", target] = count.done - count.verified - count.exempt
            told["gone", target] = count.gone - count.verified
        told, there = (Counter({k: n for k, n in c.items() if n}) for c in (told, self.proofs[order]))
        assert told == there, f"request {order} counts {dict(told)} of what is proven, there are {dict(there)}"


def check_orders(state: Disk, kinds: dict[str, Kind]) -> Requests:
    """Hold what is counted of rows that wait and batches on their way, for targets, orgs and requests."""
    requests = Requests(state, kinds)
    counted: Counter[tuple[bytes, str]] = Counter()
    waiting_in: Counter[tuple[str, str]] = Counter()
    for kind, org, head, body in _queued(state):
        requests.queue(org, head, body)
        counted[keys.KEPT, org] += kind == keys.KEPT
        counted[keys.AGAIN, org] += kind == keys.AGAIN and head.why == MIN_RETAIN
        waiting_in[org, head.category] += bool(head.requests) and not head.forced
    for key, value in of_kind(state, keys.PENDING):
        target, _ = keys.read_pending(key)
        head_raw, body = rows.split(value)
        counted[keys.PENDING, target] += 1
        requests.batch(target, PendingHead.unpack(head_raw), body)
    for key, value in of_kind(state, keys.PROOF):
        target, _ = keys.read_pending(key)
        proof = ProofHead.unpack(rows.split(value)[0])
        counted[keys.PROVING, target] += proof.state == proofs.ASKED
        requests.proof(target, proof)
    for name, proving_row in _rows(state, keys.PROVING, ProvingRow):
        asked = counted[keys.PROVING, name]
        assert proving_row.asked == asked, f"target {name} counts {proving_row.asked} questions, there are {asked}"
    for key, _ in of_kind(state, keys.FORCED):
        counted[keys.FORCED, keys.read_text(key, 1)[0]] += 1
    for name, target_row in _rows(state, keys.TARGET, TargetRow):
        told = (target_row.pending, target_row.forced)
        there = (counted[keys.PENDING, name], counted[keys.FORCED, name])
        assert told == there, f"target {name} counts {told} batches and rows that wait, there are {there}"
    for name, org_row in _rows(state, keys.ORG, OrgRow):
        told, there = (org_row.kept, org_row.retained), (counted[keys.KEPT, name], counted[keys.AGAIN, name])
        assert told == there, f"org {name} counts {told} rows that are kept and retained, there are {there}"
    for key, value in of_kind(state, keys.PAIR):
        n = PairRow.unpack(value).waiting
        assert n == waiting_in[keys.read_pair(key)], f"a pair counts {n} rows of requests, not {waiting_in}"
    requests.check()
    return requests


def _rows(state: Disk, kind: bytes, cls: type[R]) -> Iterator[tuple[str, R]]:
    return ((keys.read_text(key, 1)[0], cls.unpack(value)) for key, value in of_kind(state, kind))


def check_rows(state: Disk, kinds: dict[str, Kind]) -> None:
    """Hold all counts against what they count, and what is kept of a record against the record."""
    requests = check_orders(state, kinds)
    clock = ClockRow.unpack(state.rows[keys.CLOCK])
    found = Counter(key[:1] for key in state.keys)
    counted = {
        keys.BLOCKED: clock.blocked,
        keys.AGAIN: clock.again,
        keys.FORCED: clock.forced,
        keys.DEAD: clock.dead,
        keys.DEAD_SINCE: clock.dead,
        keys.MERGE: clock.merges,
        keys.MERGE_MARKS: clock.mark_merges,
        keys.PLACING: clock.placing,
        keys.HOLD_END: clock.hold_ends,
        keys.STIRRED: clock.stirred,
        keys.SCAN: clock.scans,
        keys.UNTOLD: clock.untold,
        keys.PROOF: clock.proofs,
        keys.LOOK: clock.proofs,
        keys.UNGONE: sum(
            ProofHead.unpack(rows.split(value)[0]).level != proofs.GONE for _, value in of_kind(state, keys.PROOF)
        ),
    }
    wrong = {kind: (count, found[kind]) for kind, count in counted.items() if count != found[kind]}
    assert not wrong, f"counts (counted, there are) are wrong: {wrong}"
    assert {key[1:] for key, _ in of_kind(state, keys.DEAD)} <= {key[1:] for key, _ in of_kind(state, keys.SEGMENT)}
    lonely = set(_children(state)) - set(_records(state))
    assert not lonely, f"{len(lonely)} derived records are known by their sources and are gone themselves"
    for key, value in of_kind(state, keys.SEGMENT):
        at = keys.read_segment(key)
        if at.org in requests.orgs():
            requests.must_know(at.org, at.category, _alive(state, key, Segment.unpack(value)), [], "in a segment")


def _children(state: Disk) -> Iterator[Place]:
    for key, value in of_kind(state, keys.CHILD):
        head = children.ChildHead.unpack(value)
        body = Marks(state.rows[keys.CHILD_BODY + key[1:]])
        assert body.columns.parents is not None
        days = (body.clocks // segments.DAY_S).tolist()
        org = keys.read_text(key, 1)[0]
        for name, day in zip(body.columns.parents.texts(), days, strict=True):
            yield org, head.category, head.target, name, day


def _alive(state: Disk, key: bytes, segment: Segment) -> Columns:
    dead = np.frombuffer(state.rows.get(keys.DEAD + key[1:], bytes(4)), np.dtype("<u2"), offset=4)
    return segments.columns_of(segment).take(np.setdiff1d(np.arange(segment.count), dead))


def _records(state: Disk) -> Iterator[Place]:
    """Yield every record that is in the ledger and where it lies."""
    for kind in (keys.SEGMENT, keys.STRANDED):
        for key, value in of_kind(state, kind):
            at = keys.read_segment(key)
            yield from _placed(at.org, at.category, at.target, _alive(state, key, Segment.unpack(value)))
    for kind in (keys.PACK, keys.SHEAF):
        for _, value in of_kind(state, kind):
            for group in Pack.decode(value).groups():
                if group.kind == "record":
                    yield from _placed(group.org, group.category, group.target, group.columns())
    for _, org, head, body in _queued(state):
        if not head.forced:
            target = head.target if head.requests else keys.RETURNED + head.target
            yield from _placed(org, head.category, target, decode_columns(body))


def _placed(org: str, category: str, target: str, columns: Columns) -> Iterator[Place]:
    for name, clock in zip(columns.ids.texts(), columns.clocks.tolist(), strict=True):
        yield org, category, target, name, clock // segments.DAY_S
