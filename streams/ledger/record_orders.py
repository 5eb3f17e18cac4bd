"""Orders about records that stay: sent to their target in the order of decisions, and kept until they are answered.

    OrderRecords ─▶ list (`order_list`) ─▶ RecordOrder, some records of one category and target ─▶ Acked
                                              ▲                                                    │
                                              └─ the next day, rows that somebody had locked ──────┤
                                                 after resend_days, where nobody answered     Answer "ordered"

An order lies in the target's topic before or behind each batch that erases one of its records, as it was decided; one
that goes out again leaves out what was put into a batch since, so that nothing is written to a record after it was
anonymised. What a store refuses is told and not tried again. What is to be written is closed (`schemas.values`) and is
forgotten with the last answer. Called by `Ledger`, `pending` and the steps;
`tests/unit/streams/ledger/test_record_orders.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import decode_columns, encode_columns
from schemas.columns import Columns
from streams.ledger import audited, holds, keys, rows
from streams.ledger.rows import RECTIFY, OrderHead, Row
from streams.ledger.state import Work

LOCK: Final = "lock"
"""Why a target keeps a row for a moment only."""
COUNTS: Final = ("due", "done", "changed", "failed", "hold", "going", "cannot")
"""Records of one target: found there; answered, changed, refused by the store; kept by a hold, on their way to be
erased, in a place where it cannot be done."""

Released = tuple[str, Sequence[str]]
"""An org, and holds that need not wait any longer for an order."""


@dataclass(slots=True)
class OrderedRow(Row):
    """What a request for orders has come to here. `open` orders are not answered; `targets` has COUNTS of each."""

    action: str
    stamp: int
    epoch: int
    listed: bool = False
    open: int = 0
    version: int = 0
    targets: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, target: str, what: str, n: int) -> None:
        """Add `n` records of a target."""
        if n:
            self.targets.setdefault(target, dict.fromkeys(COUNTS, 0))[what] += n


@dataclass(slots=True, frozen=True)
class Part(Row):
    """What is ordered of one category: which of its targets can, and the closed values (hex)."""

    targets: list[str]
    sealed: str


def row_of(work: Work, org: str, request: str) -> OrderedRow | None:
    """Return what a request has come to, None where it is over."""
    return work.row(keys.of_order(keys.ORDERED, org, request), OrderedRow)


def begin(work: Work, record: dict[str, Any]) -> None:
    """Write down what was asked for."""
    org, request = record["org"], record["request_id"]
    work.add_row(
        keys.of_order(keys.ORDERED, org, request), OrderedRow(record["action"], record["stamp"], record["epoch"])
    )
    parts = {part["category"]: [part["targets"], part["sealed"].hex()] for part in record["parts"]}
    body = {"records": record["records"], "parts": parts}
    work.store.put(keys.of_order(keys.ORDERED_BODY, org, request), json.dumps(body, sort_keys=True).encode())
    work.ordered.add((org, request))


def body_of(work: Work, org: str, request: str) -> tuple[list[str], dict[str, Part]]:
    """Return the record ids that a request is narrowed to, none: all, and its parts by category."""
    raw = work.store.get(keys.of_order(keys.ORDERED_BODY, org, request))
    if raw is None:
        raise KeyError("orders are made, and what they say is not there")
    found = json.loads(raw)
    return found["records"], {category: Part(*part) for category, part in found["parts"].items()}


# -- out -----------------------------------------------------------------------------------------------------------


def issue(work: Work, org: str, request: str, category: str, target: str, columns: Columns) -> None:
    """Order what a request says of these records in one target; each id stands once."""
    row, rules = row_of(work, org, request), work.rules
    assert row is not None
    assert rules is not None
    row.count(target, "due", len(columns))
    sealed = body_of(work, org, request)[1][category].sealed
    for start in range(0, len(columns), rules.batch_records):
        part = columns.slice(start, min(start + rules.batch_records, len(columns)))
        head = OrderHead(org, category, request, row.action, row.stamp, len(part), work.today + rules.resend_days)
        if work.store.get(keys.order(target, order_id(work, target, head, part))) is not None:
            row.count(target, "due", -len(part))  # twins that were not read together: the same order is on its way
            continue
        _put(work, target, head, part)
        _send(work, target, head, part, sealed)
        row.open += 1
        work.clock.orders += 1


def _put(work: Work, target: str, head: OrderHead, columns: Columns) -> None:
    work.store.put(keys.order(target, order_id(work, target, head, columns)), rows.join(head, encode_columns(columns)))


def _send(work: Work, target: str, head: OrderHead, columns: Columns, sealed: str) -> None:
    made = order_id(work, target, head, columns)
    record = {
        "order_id": made,
        "request_id": head.request_id,
        "target": target,
        "org": head.org,
        "category": head.category,
        "action": head.action,
        "stamp": head.stamp,
        "sealed": bytes.fromhex(sealed),
        "record_ids": columns.ids.texts(),
    }
    topic = work.context.topics.erasures(target)
    work.send(topic, work.context.partition, bytes.fromhex(made), "RecordOrder", record, sequenced=False)
    audited.order(work, head, record)


def order_id(work: Work, target: str, head: OrderHead, columns: Columns) -> str:
    """Return the id of an order: 32 hex digits over all that it says."""
    said = ["ebbtide order v1", work.context.partition, head.org, head.request_id, head.action, target, head.category]
    raw = json.dumps([*said, head.tries, columns.ids.texts()]).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


# -- back ----------------------------------------------------------------------------------------------------------


def acked(work: Work, ack: dict[str, Any]) -> Released:
    """Take note of what a target did with an order; rows that somebody had locked go out again tomorrow."""
    target, key = ack["target"], keys.order(ack["target"], ack["batch_id"])
    raw = work.store.get(key)
    if raw is None:
        work.clock.acks_unknown += 1
        return "", ()
    head_raw, body = rows.split(raw)
    head = OrderHead.unpack(head_raw)
    kept = {outcome["row"]: outcome["reason"] for outcome in (*ack["withheld"], *ack["failed"])}
    if kept and max(kept) >= head.count:
        work.clock.acks_bad += 1
        return "", ()
    audited.order_ack(work, head, ack)
    if ack["outcome"] == "retry":
        work.store.put(key, rows.join(replace(head, due_day=work.today), body))
        work.clock.reorder = ""
        return "", ()
    if ack["outcome"] != "applied":
        return "", ()
    row = _settle(work, head, key)
    failed = {outcome["row"] for outcome in ack["failed"]}
    locked = sorted(n for n, reason in kept.items() if n not in failed and reason == LOCK)
    row.count(target, "failed", len(failed))
    row.count(target, "cannot", len(kept) - len(failed) - len(locked))
    row.count(target, "done", head.count - len(kept))
    row.count(target, "changed", ack["changed"])
    if locked:
        again = [n for n in locked if n not in head.gone]
        row.count(target, "going", len(locked) - len(again))
        if again:
            columns = decode_columns(body).take(np.array(again, np.intp))
            later = replace(
                head,
                count=len(again),
                due_day=work.today + 1,
                sent=False,
                tries=head.tries + 1,
                gone=[],
                holds=[],
            )
            _put(work, target, later, columns)
            row.open += 1
            work.clock.orders += 1
    return head.org, head.holds


def _settle(work: Work, head: OrderHead, key: bytes) -> OrderedRow:
    """An order is no longer open."""
    row = row_of(work, head.org, head.request_id)
    if row is None:
        raise KeyError("an order is answered whose request is not there")
    work.store.delete(key)
    row.open -= 1
    work.clock.orders -= 1
    work.ordered.add((head.org, head.request_id))
    return row


def withdraw(work: Work) -> None:
    """Note which rows of orders that may go out again were put into batches by this entry."""
    for (org, category, target), ids in sorted(work.cut.items()) if work.clock.orders else ():
        for key, value in list(work.store.scan(keys.ORDER + keys.text(target))):
            head_raw, body = rows.split(value)
            head = OrderHead.unpack(head_raw)
            if (head.org, head.category) != (org, category):
                continue
            gone = {n for n, name in enumerate(decode_columns(body).ids.texts()) if name in ids}
            if not gone <= set(head.gone):
                work.store.put(key, rows.join(replace(head, gone=sorted({*head.gone, *gone})), body))


# -- out again -------------------------------------------------------------------------------------------------------


def waiting(work: Work) -> bool:
    """Whether orders are to be looked at that may go out again."""
    return work.clock.reorder is not None and work.clock.orders > 0 and work.rules is not None


def resend(work: Work, budget: int) -> tuple[int, list[Released]]:
    """Go on sending again what is due, about `budget` records; return what it cost, and which holds need not wait."""
    cursor, cost, found = work.clock.reorder or "", 0, list[tuple[bytes, bytes]]()
    for key, value in work.store.scan(keys.ORDER, bytes.fromhex(cursor)):
        found.append((key, value))
        cost += OrderHead.unpack(rows.split(value)[0]).count
        if cost >= budget:
            break
    released = []
    for key, value in found:
        work.clock.reorder = (key + b"\0").hex()
        head_raw, body = rows.split(value)
        head = OrderHead.unpack(head_raw)
        if head.due_day <= work.today:
            released.append(_again(work, key, head, decode_columns(body)))
    if not found:
        work.clock.reorder = None
    return max(cost, 1), released


def _again(work: Work, key: bytes, head: OrderHead, columns: Columns) -> Released:
    """Send an order again, without what goes or is held meanwhile: the rest is another order then."""
    rules, target = work.rules, keys.read_pending(key)[0]
    assert rules is not None
    held = holds.mask(work, head.org, head.category, columns, legal=True) if head.action == RECTIFY else None
    if head.sent and held is not None:  # no message takes it back: it is waited for
        work.store.put(key, rows.join(replace(head, due_day=work.today + 1), encode_columns(columns)))
        return "", ()
    going = _going(work, target, head, columns)
    kept = going if held is None else going | held
    sealed = body_of(work, head.org, head.request_id)[1][head.category].sealed
    if not bool(kept.any()):
        later = replace(head, sent=True, due_day=work.today + rules.resend_days)
        work.store.put(key, rows.join(later, encode_columns(columns)))
        _send(work, target, later, columns, sealed)
        return "", ()
    row = _settle(work, head, key)
    row.count(target, "going", int(going.sum()))
    row.count(target, "hold", 0 if held is None else int((held & ~going).sum()))
    rest = columns.take(np.flatnonzero(~kept))
    if not len(rest):
        return head.org, head.holds
    later = replace(
        head,
        count=len(rest),
        due_day=work.today + rules.resend_days,
        sent=True,
        tries=head.tries + 1,
        gone=[],
    )
    _put(work, target, later, rest)
    _send(work, target, later, rest, sealed)
    row.open += 1
    work.clock.orders += 1
    return "", ()


def _going(work: Work, target: str, head: OrderHead, columns: Columns) -> NDArray[np.bool_]:
    """Tell which rows were sent to be erased since they were ordered, this entry included."""
    mask = np.isin(np.arange(head.count), np.array(head.gone, np.intp))
    ids = work.cut.get((head.org, head.category, target))
    if ids:
        mask |= np.array([name in ids for name in columns.ids.texts()], np.bool_)
    return mask


# -- told ------------------------------------------------------------------------------------------------------------


def report(work: Work) -> None:
    """Tell what is new of each request; one that is over is forgotten, with what it said."""
    for org, request in sorted(work.ordered):
        row = row_of(work, org, request)
        if row is None:
            continue
        row.version += 1
        over = row.listed and not row.open
        body = json.dumps({"listed": row.listed, "over": over, "targets": row.targets}, sort_keys=True)
        work.answer(org, "ordered", row.epoch, row.version, request_id=request, body=body)
        if over:
            work.store.delete(keys.of_order(keys.ORDERED_BODY, org, request))
            work.drop_row(keys.of_order(keys.ORDERED, org, request), OrderedRow)
