"""Legal holds as the coordinator orders them: placed, in force, released, ended.

    placed ─▶ in force ─▶ released ─▶ ended, grace_days later, by itself
       └────────────────▶ released

From its entry on a hold keeps what it concerns out of every batch. It is *in force* once every batch that was on its
way then, and holds a row of it, has been acknowledged, and every order to rectify one: these are looked for in Steps.
When it ends, what it kept is looked at anew. Called by `Ledger`, the steps and pending;
`tests/unit/streams/ledger/test_holds.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.bodies import decode_columns
from streams.ledger import brake_rows, due, holds, keys, rows, waiting
from streams.ledger.concern import lineage
from streams.ledger.holds import Hold, HoldDef
from streams.ledger.rows import RECTIFY, OrderHead, OrgRow, PendingHead, Row
from streams.ledger.state import Work


@dataclass(slots=True)
class HoldRow(Row):
    """Where one hold stands. `cursor` (hex): how far batches on their way were looked through, None: all were;
    `waits`: how many of them it waits for. `ends_day`: -1 while the ledger's day is unknown."""

    grace_days: int
    in_force: bool = False
    cursor: str | None = ""
    waits: int = 0
    released: bool = False
    ends_day: int = -1


def _row(work: Work, org: str, hold: str) -> HoldRow | None:
    return work.row(keys.of_order(keys.HOLD, org, hold), HoldRow)


def place(work: Work, record: dict[str, Any]) -> None:
    """Place a hold; placed again it changes nothing. Answered when it is in force."""
    name, hold = record["org"], record["hold_id"]
    org = work.ensure_org(name)
    if record["epoch"] < org.epoch:
        work.answer(name, "hold", record["epoch"], 0, "of an epoch behind what is known here", request_id=hold)
        return
    row = _row(work, name, hold)
    if row is not None:
        if row.in_force:
            _answer_in_force(work, name, org, hold)
        return
    work.add_row(keys.of_order(keys.HOLD, name, hold), HoldRow(record["grace_days"]))
    everyone = not record["subjects"] and not record["records"]
    said = HoldDef(sorted(record["categories"]), everyone, sorted(record["records"]))
    work.store.put(keys.of_order(keys.HOLD_BODY, name, hold), rows.join(said, record["subjects"]))
    work.store.put(keys.of_order(keys.PLACING, name, hold), b"")
    work.clock.placing += 1
    org.holds += 1
    org.holds_version += 1
    work.changed.add(name)
    brake_rows.anew(work, name)
    due.replace_all(work, name)


def _answer_in_force(work: Work, name: str, org: OrgRow, hold: str, **more: bool) -> None:
    """Answer that a hold is in force; `ended` before it was, there is nothing more to wait for."""
    work.answer(name, "hold", org.epoch, 0, request_id=hold, body=json.dumps(more))


def placing(work: Work) -> bool:
    """Whether batches on their way are to be looked through for a hold."""
    return work.clock.placing > 0


def look_through(work: Work, budget: int) -> int:
    """Go on looking for batches that hold rows of a new hold, about `budget` records; return what it cost."""
    found = work.first(keys.PLACING)
    if found is None:
        work.clock.placing = 0
        return 1
    name, hold = keys.read_order(found[0])
    row, raw = _row(work, name, hold), work.store.get(keys.of_order(keys.HOLD_BODY, name, hold))
    if row is None or raw is None or row.cursor is None:
        raise KeyError("a hold is to be computed and is not there")
    said, cost, start = holds.read(hold, raw), 0, row.cursor
    for key, value in _pending(work, name, bytes.fromhex(start), budget):
        cost += _mark(work, name, hold, row, said, key, value)
        row.cursor = (key + b"\0").hex()
    if row.cursor == start:
        row.cursor = None
        row.waits += _mark_orders(work, name, hold, said)
        work.store.delete(found[0])
        work.clock.placing -= 1
        _settle(work, name, hold, row)
    return cost + 1


def _pending(work: Work, org: str, start: bytes, budget: int) -> list[tuple[bytes, bytes]]:
    """Return pending rows from `start` on, as many as hold about `budget` records of the org, and at least one."""
    found: list[tuple[bytes, bytes]] = []
    cost = 0
    for key, value in work.store.scan(keys.PENDING, start):
        head = PendingHead.unpack(rows.split(value)[0])
        found.append((key, value))
        cost += head.count if head.org == org else 1
        if cost >= budget:
            break
    return found


def _mark(work: Work, org: str, hold: str, row: HoldRow, said: Hold, key: bytes, value: bytes) -> int:
    """Let the hold wait for a batch if that holds a row of it; return what it cost."""
    head_raw, body = rows.split(value)
    head = PendingHead.unpack(head_raw)
    if head.org != org or not said.concerns(lineage(work.rules, head.category)):
        return 1
    if bool(said.rows(decode_columns(body)).any()):
        work.store.put(key, rows.join(replace(head, holds=[*head.holds, hold]), body))
        row.waits += 1
    return head.count


def _mark_orders(work: Work, org: str, hold: str, said: Hold) -> int:
    """Let a legal hold wait for orders that rewrite what it concerns; there are never many. Return how many."""
    waits = 0
    for key, value in list(work.store.scan(keys.ORDER)) if said.legal and work.clock.orders else ():
        head_raw, body = rows.split(value)
        head = OrderHead.unpack(head_raw)
        if (
            head.org != org
            or head.action != RECTIFY
            or not head.sent
            or not said.concerns(lineage(work.rules, head.category))
        ):
            continue
        if bool(said.rows(decode_columns(body)).any()):
            work.store.put(key, rows.join(replace(head, holds=[*head.holds, hold]), body))
            waits += 1
    return waits


def _settle(work: Work, name: str, hold: str, row: HoldRow) -> None:
    """Answer that the hold is in force, if it is now."""
    if row.cursor is None and not row.waits and not row.in_force:
        row.in_force = True
        _answer_in_force(work, name, work.ensure_org(name), hold)


def settled(work: Work, org: str, waited: Sequence[str]) -> None:
    """A batch or an order is acknowledged row by row, or withdrawn: holds that `waited` for it may be in force."""
    for hold in waited:
        row = _row(work, org, hold)
        if row is not None:
            row.waits -= 1
            _settle(work, org, hold, row)


def release(work: Work, record: dict[str, Any]) -> None:
    """Let a hold end its grace days after today; released again it is answered again."""
    name, hold = record["org"], record["hold_id"]
    org, row = work.org(name), _row(work, name, hold)
    known = org.epoch if org is not None else -1
    if record["epoch"] < known:
        work.answer(name, "released", record["epoch"], 0, "of an epoch behind what is known here", request_id=hold)
    elif row is None:
        work.answer(name, "released", known, 0, "no such hold here", request_id=hold)
    elif not row.released:
        row.released = True
        _set_end(work, name, hold, row)
    elif row.ends_day >= 0:
        _answer_released(work, name, hold, row)


def _set_end(work: Work, name: str, hold: str, row: HoldRow) -> None:
    """Say on which day the hold ends; while the ledger's day is unknown, that is said when it is known."""
    if work.today >= 0:
        row.ends_day = work.today + row.grace_days
        _answer_released(work, name, hold, row)
    work.store.put(keys.hold_end(max(row.ends_day, 0), name, hold), b"")
    work.clock.hold_ends += 1


def _answer_released(work: Work, name: str, hold: str, row: HoldRow) -> None:
    epoch = work.ensure_org(name).epoch
    work.answer(name, "released", epoch, 0, request_id=hold, body=json.dumps({"ends_day": row.ends_day}))


def ending(work: Work) -> bool:
    """Whether a released hold ends today."""
    return work.clock.hold_ends > 0 and work.has_come(keys.HOLD_END)


def end(work: Work, _: int) -> int:
    """End the hold that is next: its org's pairs are placed anew; return what it cost."""
    found = work.first(keys.HOLD_END)
    assert found is not None
    _, name, hold = keys.read_hold_end(found[0])
    work.store.delete(found[0])
    work.clock.hold_ends -= 1
    row = _row(work, name, hold)
    assert row is not None
    if row.ends_day < 0:
        _set_end(work, name, hold, row)
        return 1
    if row.cursor is not None:
        work.store.delete(keys.of_order(keys.PLACING, name, hold))
        work.clock.placing -= 1
    org = work.ensure_org(name)
    if not row.in_force:
        _answer_in_force(work, name, org, hold, ended=True)
    work.store.delete(keys.of_order(keys.HOLD_BODY, name, hold))
    work.drop_row(keys.of_order(keys.HOLD, name, hold), HoldRow)
    org.holds -= 1
    org.holds_version += 1
    work.changed.add(name)
    brake_rows.anew(work, name)
    return look_anew(work, name)


def look_anew(work: Work, name: str) -> int:
    """A hold keeps an org's rows back no longer: look at all that waits, place its pairs anew; return what it cost."""
    pairs = work.pairs_of(name)
    for category, pair in pairs:
        if not pair.gather:
            pair.cursor = None  # of a pass: it left rows behind
        pair.gather |= pair.spread
        pair.pass_day, pair.pass_offset = -1, 0
        due.place(work, name, category, pair)
    waiting.stir(work, name)
    return 1 + len(pairs)
