"""What an erasure request has come to: counted row by row, told to the coordinator when it says something new.

A request's queue rows and batches are counted when they are put and taken out, so what is told is the sum of what
there is. Used by waiting, cut, pending, search and erase; `tests/unit/streams/ledger/test_erasures.py` says what it
promises.

An `erase` answer follows at most once an entry: when the search ends, when a target's last open row is acknowledged or
its first is due, when something begins or ceases to wait, every REPORT_EVERY acks, and once a day what else changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Final

import numpy as np

from schemas.columns import Columns
from streams.ledger import barriers, keys
from streams.ledger.concern import Mask, count_subjects
from streams.ledger.rows import PendingHead, Row
from streams.ledger.state import Work

HOLD: Final = "hold"
MIN_RETAIN: Final = "min_retain"
WITHHELD: Final = "withheld"
FAILED: Final = "failed"
REPORT_EVERY: Final = 16
"""A request with open rows is told of every so many acks."""
_ALWAYS: Final = frozenset(("due", "done", "changed", WITHHELD, FAILED))
MAX_WORDS: Final = 1000
"""Characters of what holds something back."""
DONE: Final = -1
"""The phase of a search that is over."""


@dataclass(slots=True)
class TargetCount:
    """Rows of one request and one target: how many are due in all, and what became of them.

    Of those `done`: `gone` ones are physically gone, of these `verified` ones were asked for again; of `exempt` ones
    the target can say no more than that no query returns them. `residual` were found again, and are no longer done.
    """

    due: int = 0
    done: int = 0
    changed: int = 0
    withheld: int = 0
    failed: int = 0
    gone: int = 0
    verified: int = 0
    exempt: int = 0
    residual: int = 0


@dataclass(slots=True)
class RequestRow(Row):
    """What one request has come to here.

    `phase` and `cursor` (hex) say where its search stands; `skipped`: it met rows that the rules have no place for.
    `undecided` rows were taken out and are looked at by one of the next steps; `targets` has each target's numbers, as
    a TargetCount has them. `told`: what the last answer said in short, `acks`: how many came since, `untold`: a row of
    kind UNTOLD says that something changed since. `blocked`: what keeps a target's rows from being gone, in words.
    """

    phase: int = 0
    cursor: str = ""
    skipped: bool = False
    version: int = 0
    found: int = 0
    undecided: int = 0
    hold: int = 0
    min_retain: int = 0
    targets: dict[str, list[int]] = field(default_factory=dict)
    acks: int = 0
    told: str = ""
    told_day: int = -1
    untold: bool = False
    blocked: dict[str, str] = field(default_factory=dict)

    def count(self, target: str, **changes: int) -> None:
        """Add to one target's numbers."""
        now = TargetCount(*self.targets.get(target, ()))
        for name, change in changes.items():
            setattr(now, name, getattr(now, name) + change)
        self.targets[target] = list(astuple(now))

    def counts(self) -> dict[str, TargetCount]:
        """Return each target's numbers, by name."""
        return {name: TargetCount(*self.targets[name]) for name in sorted(self.targets)}


def request(work: Work, org: str, order: str) -> RequestRow | None:
    return work.row(keys.of_order(keys.REQUEST, org, order), RequestRow)


def each(work: Work, org: str, orders: Iterable[str]) -> Iterable[RequestRow]:
    """Yield requests whose numbers are about to change."""
    for order in orders:
        row = request(work, org, order)
        if row is not None:
            work.counted.setdefault((org, order), False)
            yield row


def queued(work: Work, org: str, head: Any, sign: int) -> None:
    """Count a queue row (`streams.ledger.waiting.QueueHead`) that is put (`sign` 1) or taken out (-1)."""
    for row in each(work, org, head.requests):
        if head.why == HOLD:
            row.hold += sign * head.count
        elif head.why == MIN_RETAIN:
            row.min_retain += sign * head.count
        elif not head.counted:
            row.undecided += sign * head.count
        for target, n in head.counted.items():
            kept = {head.why: sign * n} if head.why in (WITHHELD, FAILED) else {}
            row.count(target, due=sign * n, **kept)


def found(work: Work, org: str, orders: Sequence[str], columns: Columns) -> None:
    """Count records that requests took out from where they lay, and whose they are."""
    known = barriers.of(work, org)
    for order, row in zip(orders, list(each(work, org, orders)), strict=True):
        row.found += len(columns)
        barrier = known.by_id[order] if known is not None else None
        if barrier is None or barrier.everyone:
            continue
        key = keys.of_order(keys.REQUEST_FOUND, org, order)
        before = np.frombuffer(work.store.get(key) or bytes(4 * len(barrier.refs)), np.dtype("<u4"))
        after = before + count_subjects(columns, barrier.refs)
        work.store.put(key, after.astype("<u4").tobytes())


def sent(work: Work, target: str, head: PendingHead, watched: dict[str, Mask]) -> None:
    """Count a batch that is sent: for those that all its rows belong to, and those that some of its rows concern."""
    for row in each(work, head.org, head.requests):
        row.count(target, due=head.count)
    for order, mask in watched.items():
        watch(work, target, head.org, order, int(mask.sum()))


def watch(work: Work, target: str, org: str, order: str, n: int) -> None:
    """Count rows of a batch that is on its way already."""
    for row in each(work, org, (order,)):
        row.count(target, due=n)


def withdrawn(work: Work, target: str, head: PendingHead, columns: Columns) -> None:
    """Count a batch that is no longer on its way, before what becomes of its rows."""
    for row in each(work, head.org, head.requests):
        row.count(target, due=-head.count)
    for order, mask in watched(work, head, columns).items():
        watch(work, target, head.org, order, -int(mask.sum()))


def acked(work: Work, target: str, head: PendingHead, columns: Columns, kept: Mask, changed: int) -> None:
    """Count a batch's ack. Kept rows are due no longer until they are queued again.

    Of a batch that only some rows of concern a request, how many of these were changed is not said: at most so many.
    """
    for row in each(work, head.org, head.requests):
        row.count(target, due=-int(kept.sum()), done=int((~kept).sum()), changed=changed)
        row.blocked.pop(target, None)
        row.acks += 1
    for order, mask in watched(work, head, columns).items():
        for row in each(work, head.org, (order,)):
            done = int((mask & ~kept).sum())
            row.count(target, due=-int((mask & kept).sum()), done=done, changed=min(done, changed))
            row.blocked.pop(target, None)
            row.acks += 1


def held_up(work: Work, target: str, org: str, orders: Iterable[str], words: str) -> None:
    """Note what keeps a target from carrying out a batch, in words; its next acknowledgement takes that back."""
    for row in each(work, org, orders):
        if words and target in row.targets:
            row.blocked[target] = words[:MAX_WORDS]


def watched(work: Work, head: PendingHead, columns: Columns) -> dict[str, Mask]:
    """Return which rows of a batch concern the requests that watch it."""
    if not head.watch:
        return {}
    masks = barriers.met(work, head.org, head.category, columns)
    return {order: masks[order] for order in head.watch if order in masks}


def proven(
    work: Work, target: str, org: str, counted: Mapping[str, int], blocked: str, *, left: int = 0, **signs: int
) -> None:
    """Count rows that were asked for again: `signs` says which numbers change by each request's share of them.

    `left`: how many were found again; `blocked`: what keeps them from being gone, in words; the last word counts.
    """
    for order, n in sorted(counted.items()):
        for row in each(work, org, (order,)):
            row.count(target, residual=min(left, n), **{name: sign * n for name, sign in signs.items()})
            row.acks += 1
            if blocked:
                row.blocked[target] = blocked
            else:
                row.blocked.pop(target, None)


def made_anew(work: Work, target: str, org: str, counted: Mapping[str, int]) -> None:
    """Count rows that went and whose ids mean other records now: done, and nothing more can be asked about them."""
    for order, n in sorted(counted.items()):
        for row in each(work, org, (order,)):
            row.count(target, due=n, done=n, exempt=n)


def report(work: Work) -> None:
    """Tell of each request that this entry concerned, if what it says is new, or it must be told of."""
    for (org, order), must in sorted(work.counted.items()):
        row = request(work, org, order)
        if row is None:
            continue
        if not row.undecided and (must or _in_short(row) != row.told or row.acks >= REPORT_EVERY):
            _tell(work, org, order, row)
        elif not row.untold:
            row.untold = True
            work.clock.untold += 1
            work.store.put(keys.of_order(keys.UNTOLD, org, order), b"")


def tell(work: Work, org: str, order: str) -> None:
    """Have a request told of at the end of this entry."""
    work.counted[org, order] = True


def _in_short(row: RequestRow) -> str:
    """Return what must be told at once when it changes: what is open, and what waits."""
    stages = {name: _stage(count) for name, count in row.counts().items()}
    again = [name for name, count in row.counts().items() if count.residual]
    kept = [row.hold > 0, row.min_retain > 0]
    return json.dumps([row.phase == DONE, stages, *kept, again, sorted(row.blocked)], sort_keys=True)


def _stage(count: TargetCount) -> int:
    """Return how far a target is with all that it was told: open, deleted, gone, or proven as far as it can be."""
    if count.due != count.done:
        return 0
    return 1 + (count.done == count.gone + count.exempt) + (count.done == count.verified + count.exempt)


def _tell(work: Work, org: str, order: str, row: RequestRow) -> None:
    """Answer with what a request has come to; the coordinator takes the highest version."""
    row.version += 1
    row.told, row.told_day, row.acks = _in_short(row), work.today, 0
    if row.untold:
        row.untold = False
        work.clock.untold -= 1
        work.store.delete(keys.of_order(keys.UNTOLD, org, order))
    known = work.org(org)
    body = json.dumps(
        {
            "scanned": row.phase == DONE,
            "found": row.found,
            "subjects": _subjects(work, org, order),
            "waiting": {HOLD: row.hold, MIN_RETAIN: row.min_retain},
            "targets": {name: _numbers(row, name, n) for name, n in row.counts().items()},
        },
        separators=(",", ":"),
    )
    work.answer(org, "erase", known.epoch if known is not None else -1, row.version, request_id=order, body=body)


def _numbers(row: RequestRow, target: str, count: TargetCount) -> dict[str, int | str]:
    """Return what is said of one target; what came with proofs is left out where there is nothing to say."""
    said: dict[str, int | str] = {n: v for n, v in asdict(count).items() if v or n in _ALWAYS}
    return said | ({"blocked_by": row.blocked[target]} if target in row.blocked else {})


def _subjects(work: Work, org: str, order: str) -> dict[str, int]:
    """Return how many records each subject was found in, by its 8 bytes as hex digits; none: it is left out."""
    raw = work.store.get(keys.of_order(keys.REQUEST_FOUND, org, order))
    known = barriers.of(work, org)
    if raw is None or known is None:
        return {}
    counts = np.frombuffer(raw, np.dtype("<u4")).tolist()
    refs = known.by_id[order].refs.sorted.tolist()
    return {ref.to_bytes(8, "little").hex(): n for ref, n in zip(refs, counts, strict=True) if n}


def waiting(work: Work) -> bool:
    """Whether it is time to tell what changed and was not told."""
    return work.clock.untold > 0 and work.clock.untold_day < work.today


def tell_untold(work: Work, budget: int) -> int:
    """Tell, once a day, of requests with something new, about `budget` of them; return what it cost."""
    clock = work.clock
    cost = 0
    for key, _ in list(_next(work, bytes.fromhex(clock.untold_from), max(budget, 1))):
        org, order = keys.read_order(key)
        row = request(work, org, order)
        if row is not None and row.told_day < work.today:
            tell(work, org, order)
        clock.untold_from = (key + b"\0").hex()
        cost += 1
    if not cost:
        clock.untold_day, clock.untold_from = work.today, ""
    return max(cost, 1)


def _next(work: Work, start: bytes, most: int) -> list[tuple[bytes, bytes]]:
    found = []
    for row in work.store.scan(keys.UNTOLD, start):
        found.append(row)
        if len(found) >= most:
            break
    return found
