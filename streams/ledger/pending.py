"""Acks: what targets did with their batches, copied into the ledger log and only there taken into account.

Called by `Ledger` for `Ack` (on the acks topic), `Acked` (in the log), and by the steps for batches that were never
acknowledged. `tests/unit/streams/ledger/test_pending.py` says what it promises.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from schemas.bodies import decode_columns
from schemas.columns import Columns
from streams.ledger import (
    audited,
    children,
    counts,
    cut,
    hold_orders,
    holds,
    keys,
    proofs,
    record_orders,
    rows,
    snapshots,
    waiting,
)
from streams.ledger.counts import FAILED, WITHHELD
from streams.ledger.keys import RETURNED, Bucket
from streams.ledger.rows import PendingHead, TargetRow
from streams.ledger.state import Work
from streams.ledger.waiting import Rows

_BATCH_ID: Final = re.compile(r"[0-9a-f]{32}")
REPORT_EVERY: Final = 16
"""A target's progress is told every so many acks, and whenever nothing is pending or it is unblocked."""


def is_sound(ack: dict[str, Any]) -> bool:
    """Whether an ack can mean anything in the log: a batch id of 32 hex digits, a target, no row below 0."""
    named = [outcome["row"] for outcome in (*ack["withheld"], *ack["failed"])]
    return bool(_BATCH_ID.fullmatch(ack["batch_id"])) and bool(ack["target"]) and all(row >= 0 for row in named)


def others_wait(work: Work, acks: Sequence[dict[str, Any]]) -> bool:
    """Whether a target has more batches pending than these acks can settle: then more acks come, else none may."""
    for name, count in Counter(ack["target"] for ack in acks).items():
        row = work.row(keys.target(name), TargetRow)
        if row is not None and row.pending > count:
            return True
    return False


def acked(work: Work, ack: dict[str, Any]) -> None:
    """Settle a pending batch as its target says; what the target kept comes back."""
    name, target = ack["batch_id"], ack["target"]
    key = keys.pending(target, name)
    raw = work.store.get(key)
    if raw is None:
        hold_orders.settled(work, *record_orders.acked(work, ack))
        return
    head_raw, body = rows.split(raw)
    head = PendingHead.unpack(head_raw)
    kept = {outcome["row"] for outcome in (*ack["withheld"], *ack["failed"])}
    if kept and max(kept) >= head.count:
        work.clock.acks_bad += 1  # it speaks of another batch; this one stays pending, which shows
        return
    audited.ack(work, head, ack)
    row = work.target(target)
    if ack["outcome"] == "retry":
        row.retries += 1
        _retry(work, target, name, head, body)
        return
    if ack["outcome"] == "restored":
        row.restored += 1
        return
    if ack["level"] == "hidden":
        return  # hidden is not deleted: the batch stays pending until it is
    work.store.delete(key)
    withheld = {outcome["row"] for outcome in ack["withheld"]}
    columns, mask = None, None
    if kept or head.requests or head.watch:
        columns = decode_columns(body)
        mask = np.isin(np.arange(head.count), np.array(sorted(kept), np.intp))
        counts.acked(work, target, head, columns, mask, ack["changed"])
        snapshots.catch_batch(work, key, head, columns.take(np.flatnonzero(mask)))
        for why, those in ((WITHHELD, withheld), (FAILED, kept - withheld)):
            come_back(work, target, head, columns.take(np.array(sorted(those), np.intp)), why)
    proofs.begin(work, target, name, head, body, ack, columns=columns, kept=mask)
    hold_orders.settled(work, head.org, head.holds)
    row.records_changed += ack["changed"]
    row.records_withheld += len(ack["withheld"])
    row.records_failed += len(ack["failed"])
    _freed(work, target, head)


def held_up(work: Work, ack: dict[str, Any]) -> None:
    """Note what keeps a target from carrying out a batch, for the requests that wait for it: it decides nothing."""
    raw = work.store.get(keys.pending(ack["target"], ack["batch_id"]))
    if raw is not None:
        head = PendingHead.unpack(rows.split(raw)[0])
        counts.held_up(work, ack["target"], head.org, (*head.requests, *head.watch), ack["blocked_by"])


def come_back(work: Work, target: str, head: PendingHead, columns: Columns, why: str) -> None:
    """Let rows that a target kept be looked at again tomorrow."""
    kept = Rows(
        org=head.org,
        category=head.category,
        target=RETURNED + target if head.requests and not head.forced else target,
        columns=columns,
        forced=head.forced,
        requests=head.requests,
        why=why,
    )
    waiting.queue(work, work.today + 1, kept)
    if not head.forced and not head.requests:  # these go by themselves, and follow nothing
        children.store(work, Bucket(head.org, head.category, 0, RETURNED + target), columns)


def _freed(work: Work, target: str, head: PendingHead) -> None:
    """A batch is no longer pending."""
    row = work.target(target)
    row.pending -= 1
    row.batches_acked += 1
    row.records_acked += head.count
    half = cut.half_free(work.rules, row) if work.rules is not None else row.pending <= 0
    work.clock.prove_at = 0  # what is to be erased again may wait for room
    if row.blocked and half:
        row.blocked = False
        work.queue_changes += 1
        work.reported.add(target)
    if row.pending == 0 or row.batches_acked % REPORT_EVERY == 0:
        work.reported.add(target)


def _retry(work: Work, target: str, name: str, head: PendingHead, body: bytes) -> None:
    """Send a batch again as its target asks, without what is held since: the rest then has an id of its own."""
    columns = decode_columns(body)
    held = holds.mask(work, head.org, head.category, columns)
    if held is None:
        _resend(work, target, name, head, body)
        return
    snapshots.catch_batch(work, keys.pending(target, name), head, columns)
    work.store.delete(keys.pending(target, name))
    counts.withdrawn(work, target, head, columns)
    work.target(target).records_withheld += int(held.sum())
    come_back(work, target, head, columns.take(np.flatnonzero(held)), WITHHELD)
    hold_orders.settled(work, head.org, head.holds)
    _freed(work, target, head)
    rest = np.flatnonzero(~held)
    if len(rest):
        cut.rest_of(work, target, head, columns.take(rest))


def _resend(work: Work, target: str, name: str, head: PendingHead, body: bytes) -> None:
    """Send the same bytes again."""
    cut.send(work, target, name, head, decode_columns(body).ids, again=True)
    work.store.put(keys.pending(target, name), rows.join(replace(head, sent_day=work.today), body))
    work.clock.batches_resent += 1


def resending(work: Work) -> bool:
    """Whether batches or orders are to be looked at that may have to go out again."""
    return (work.clock.resend is not None and work.rules is not None) or record_orders.waiting(work)


def resend(work: Work, budget: int) -> int:
    """Go on sending again what has been pending for too long, about `budget` records; return what it cost."""
    rules, cursor = work.rules, work.clock.resend
    if rules is None or cursor is None:
        cost, released = record_orders.resend(work, budget)
        for org, waited in released:
            hold_orders.settled(work, org, waited)
        return cost
    cost = 0
    for key, value in _batches(work, bytes.fromhex(cursor), budget):
        head_raw, body = rows.split(value)
        head = PendingHead.unpack(head_raw)
        cost += 1
        work.clock.resend = (key + b"\0").hex()
        if work.today - head.sent_day >= rules.resend_days and not _is_held(work, head, body):
            target, name = keys.read_pending(key)
            _resend(work, target, name, head, body)
            cost += head.count
    if not cost:
        work.clock.resend = None
    return max(cost, 1)


def _is_held(work: Work, head: PendingHead, body: bytes) -> bool:
    """Whether a batch that nobody has answered holds a row that is held since: then it must not go out once more, and
    what is on its way already no message takes back, so it is waited for."""
    org = work.org(head.org)
    held = org is not None and org.holds > 0
    return held and holds.mask(work, head.org, head.category, decode_columns(body)) is not None


def _batches(work: Work, start: bytes, budget: int) -> list[tuple[bytes, bytes]]:
    """Return pending rows from `start` on, about `budget` records of them and at least one."""
    found: list[tuple[bytes, bytes]] = []
    records = 0
    for key, value in work.store.scan(keys.PENDING, start):
        found.append((key, value))
        records += PendingHead.unpack(rows.split(value)[0]).count
        if records >= budget:
            break
    return found
