"""Orders to hide an org, passed on to its targets in the order of the log, and kept until each has answered.

    Hide ─▶ a HideOrder for each category and target ─▶ HideAcked ─▶ Answer "hidden": how far each target is
                         ▲                                  │
                         └─ the next day, where rows refused; after resend_days, where nobody answered

What is hidden is a matter of the stores: no record is looked at, no policy asked, and an org need not even be open.
Only the partition of an org's first shard is told, which stays the same however the org grows: so there is one order of
orders, and of two the later one wins wherever both arrive. A later order takes the place of an earlier one, answered or
not. Called by `Ledger` and the steps; `tests/unit/streams/ledger/test_hides.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from streams.ledger import audited, keys
from streams.ledger.rows import Row
from streams.ledger.state import Work

_ORDER_ID: Final = re.compile(r"[0-9a-f]{32}")
_RESEND_DAYS: Final = 45
"""Where there are no rules yet that would say it."""

WAITING, DONE, CANNOT, FAILED = "waiting", "done", "cannot", "failed"


@dataclass(slots=True)
class HideRow(Row):
    """The newest order about an org. `version` grows with each answer; `again_day`: where it lies in the index, -1: all
    have answered. `parts` are lists of `Part`'s fields."""

    request_id: str
    number: int
    action: str
    stamp: int
    version: int = 0
    again_day: int = -1
    parts: list[list[Any]] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """What one target said of one category: `rows` that are hidden (or visible again) and those that `failed`.

    `tries` grows when it is asked anew, so that this is another order for the target.
    """

    target: str
    category: str
    state: str = WAITING
    rows: int = 0
    failed: int = 0
    tries: int = 0
    sent_day: int = -1

    def fields(self) -> list[Any]:
        return [self.target, self.category, self.state, self.rows, self.failed, self.tries, self.sent_day]

    @property
    def open(self) -> bool:
        return self.state in (WAITING, FAILED)


def is_sound(ack: dict[str, Any]) -> bool:
    """Whether an answer can mean anything in the log."""
    named = bool(ack["target"]) and bool(ack["org"]) and _ORDER_ID.fullmatch(ack["order_id"]) is not None
    return named and min(ack["rows"], ack["failed"]) >= 0


def order(work: Work, record: dict[str, Any]) -> None:
    """Pass a new order on; an older one, or the same again, is only answered."""
    name = record["org"]
    known = work.row(keys.hide(name), HideRow)
    if known is not None and record["number"] <= known.number:
        _tell(work, name, known)
        return
    if known is not None:
        _put_off(work, name, known, -1)
    row = work.add_row(
        keys.hide(name), HideRow(record["request_id"], record["number"], record["action"], record["stamp"])
    )
    parts = [Part(target, part["category"]) for part in record["parts"] for target in part["targets"]]
    for part in parts:
        _send(work, name, row, part)
    _settle(work, name, row, parts)


def acked(work: Work, ack: dict[str, Any]) -> None:
    """Note what a target did with an order, unless that is not the newest one any more."""
    name = ack["org"]
    row = work.row(keys.hide(name), HideRow)
    parts = [] if row is None else _parts(row)
    found = [part for part in parts if row is not None and _order_id(name, row, part) == ack["order_id"]]
    if row is None or not found or found[0].target != ack["target"]:
        work.clock.acks_unknown += 1
        return
    (part,) = found
    if not part.open:  # told twice
        return
    part.state, part.rows, part.failed = ack["outcome"], ack["rows"], ack["failed"]
    audited.hide_ack(work, name, row.request_id, ack)
    _settle(work, name, row, parts)


def waiting(work: Work) -> bool:
    """Whether some order is to be asked for again today."""
    return work.clock.hides > 0 and work.has_come(keys.HIDE_AGAIN)


def ask_again(work: Work, _: int) -> int:
    """Look at the order that is next, and send what must be sent again; return what it cost."""
    found = work.first(keys.HIDE_AGAIN)
    assert found is not None
    name = keys.read_hide_again(found[0])[1]
    row = work.row(keys.hide(name), HideRow)
    assert row is not None
    parts = _parts(row)
    limit = work.rules.resend_days if work.rules is not None else _RESEND_DAYS
    for part in parts:
        if part.state == FAILED:
            part.tries += 1
            part.state = WAITING
            _send(work, name, row, part)
        elif part.state == WAITING and part.sent_day < 0:
            part.sent_day = work.today  # from now on it is known how long it has waited
        elif part.state == WAITING and work.today - part.sent_day >= limit:
            _send(work, name, row, part)
    row.parts = [part.fields() for part in parts]
    _put_off(work, name, row, work.today + 1)
    return 1 + len(parts)


def _settle(work: Work, name: str, row: HideRow, parts: list[Part]) -> None:
    """Write down how far an order is, say so, and have it looked at tomorrow if something is still out."""
    row.parts = [part.fields() for part in parts]
    if not any(part.open for part in parts):
        _put_off(work, name, row, -1)
    elif row.again_day < 0:
        _put_off(work, name, row, max(work.today, 0) + 1)
    row.version += 1
    _tell(work, name, row)


def _put_off(work: Work, name: str, row: HideRow, day: int) -> None:
    """Have an order looked at on a day; -1: never."""
    if row.again_day >= 0:
        work.store.delete(keys.hide_again(row.again_day, name))
        work.clock.hides -= 1
    if day >= 0:
        work.store.put(keys.hide_again(day, name), b"")
        work.clock.hides += 1
    row.again_day = day


def _send(work: Work, name: str, row: HideRow, part: Part) -> None:
    part.sent_day = work.today
    made = _order_id(name, row, part)
    record = {
        "order_id": made,
        "target": part.target,
        "org": name,
        "category": part.category,
        "action": row.action,
        "stamp": row.stamp,
    }
    topic = work.context.topics.erasures(part.target)
    work.send(topic, work.context.partition, bytes.fromhex(made), "HideOrder", record, sequenced=False)
    audited.hide(work, name, row.request_id, record)


def _order_id(name: str, row: HideRow, part: Part) -> str:
    said = ["ebbtide hide v1", name, part.target, part.category, row.number, row.action, row.stamp, part.tries]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def _parts(row: HideRow) -> list[Part]:
    return [Part(*fields) for fields in row.parts]


def _tell(work: Work, name: str, row: HideRow) -> None:
    org = work.org(name)
    body = {"number": row.number, "action": row.action, "targets": dict(_by_target(row))}
    epoch = org.epoch if org is not None else -1
    work.answer(name, "hidden", epoch, row.version, request_id=row.request_id, body=json.dumps(body, sort_keys=True))


def _by_target(row: HideRow) -> Iterator[tuple[str, dict[str, Any]]]:
    parts = _parts(row)
    for target in sorted({part.target for part in parts}):
        mine = [part for part in parts if part.target == target]
        yield (
            target,
            {
                "rows": sum(part.rows for part in mine),
                "failed": sum(part.failed for part in mine),
                "waiting": sorted(part.category for part in mine if part.open),
                "cannot": sorted(part.category for part in mine if part.state == CANNOT),
            },
        )
