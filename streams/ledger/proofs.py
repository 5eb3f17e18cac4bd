"""Proof rows: batches that were acknowledged as deleted, until what went is known to be physically gone.

    acked ─▶ WAITS ─ the target's bound has passed ─▶ ASKED ─ VerifyAcked ─┬─▶ verified, or all that the target can say
               ▲ ▲                                                         │   (exempt): the row ends
               │ └── not yet, held back, unknown: asked again, ever later ◀┤
               └─ acknowledged again ◀─ a batch of its own ◀─ LEFT ◀───────┘   rows are back, or never went
                  but for what was made anew since (`streams.ledger.reborn`)

What a request erases is proven whole; of the sweep's batches a share that the rules name, chosen by their ids. The
steps (`streams.ledger.proving`) send what is sent. Called by pending and `Ledger`;
`tests/unit/streams/ledger/test_proofs.py` says what it promises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import numpy as np

from schemas.bodies import encode_columns
from schemas.columns import Columns
from streams.ledger import audited, counts, cut, keys, rows
from streams.ledger.concern import Mask
from streams.ledger.rows import PendingHead, ProofHead, ProvingRow
from streams.ledger.state import Work

WAITS, ASKED, LEFT = "waits", "asked", "left"
"""States of a proof row: it waits to be asked about, its target has been asked, rows of it are to be erased again."""
NONE, DELETED, GONE = "none", "deleted", "gone"
"""Levels that a target answers with."""
FIRST_MS: Final = 10_000
MOST_MS: Final = 86_400_000
"""A target is asked again after as long as the proof is late already, within these."""
_BATCH_ID: Final = re.compile(r"[0-9a-f]{32}")


class Verdict(StrEnum):
    """What an answer comes to."""

    VERIFIED = "verified"
    GONE = "gone"
    EXEMPT = "exempt"
    LEFT = "left"
    NOT_YET = "not_yet"


def is_sound(ack: dict[str, Any]) -> bool:
    """Whether an answer can mean anything in the log."""
    unasked = ack["ask"] == 0 and ack["level"] == NONE and ack["left"] < 0  # `pending.held_up`
    named = bool(_BATCH_ID.fullmatch(ack["batch_id"])) and bool(ack["target"]) and (ack["ask"] > 0 or unasked)
    levels = ack["level"] in (NONE, DELETED, GONE) and ack["reaches"] in (DELETED, GONE)
    whole = ack["level"] != GONE or (ack["left"] == 0 and ack["reaches"] == GONE)
    return named and levels and whole and min(ack["left"], ack["gone_within_s"]) >= -1


def judge(head: ProofHead, ack: Mapping[str, Any], now: int) -> Verdict:
    """Say what an answer comes to at tick `now`. What is not known is never taken for gone.

    Gone is verified where the target says so once its bound has passed; where nothing is known of a bound, twice.
    """
    if ack["level"] == NONE:
        return Verdict.LEFT if ack["left"] > 0 else Verdict.NOT_YET
    if ack["reaches"] == DELETED:
        return Verdict.EXEMPT
    if ack["level"] != GONE:
        return Verdict.NOT_YET
    bound = ack["gone_within_s"]
    passed = now >= head.deleted_at + bound * 1000 if bound >= 0 else head.level == GONE
    return Verdict.VERIFIED if passed else Verdict.GONE


def begin(
    work: Work,
    target: str,
    name: str,
    head: PendingHead,
    body: bytes,
    ack: Mapping[str, Any],
    *,
    columns: Columns | None,
    kept: Mask | None,
) -> None:
    """Keep what a batch has erased until it is proven to be gone, if it is one that must be.

    `columns` and `kept`, the rows that the target has left, may be None where nobody needs to know them.
    """
    if not _must_be_proven(work, name, head):
        return
    counted = dict.fromkeys(head.requests, head.count)
    size = head.count
    if columns is not None and kept is not None:
        went = ~kept
        size = int(went.sum())
        counted = dict.fromkeys(head.requests, size)
        watched = counts.watched(work, head, columns)
        counted |= {order: n for order, mask in watched.items() if (n := int((mask & went).sum()))}
        body = encode_columns(columns.take(np.flatnonzero(went))) if size < head.count else body
    if not size:
        return
    now, bound = max(work.clock.tick, 0), ack["gone_within_s"]
    proof = ProofHead(
        org=head.org,
        category=head.category,
        action=head.action,
        rules_version=head.rules_version,
        policy_version=head.policy_version,
        day=head.day,
        count=size,
        forced=head.forced,
        requests=list(head.requests),
        counted=counted,
        deleted_at=now,
        bound_s=bound,
        look_at=now + (bound * 1000 if bound >= 0 else FIRST_MS),
        state=WAITS,
    )
    work.clock.proofs += 1
    work.store.put(keys.ungone(target, proof.day, name), b"")
    put(work, target, name, proof, body)


def _must_be_proven(work: Work, name: str, head: PendingHead) -> bool:
    if head.requests or head.watch or head.reason == cut.RESIDUAL:
        return True
    percent = work.rules.verify_percent if work.rules is not None else 0
    return int(name[:8], 16) * 100 >> 32 < percent


def acked(work: Work, ack: dict[str, Any]) -> None:
    """Note what a target says of a batch that it was asked about."""
    target, name = ack["target"], ack["batch_id"]
    raw = work.store.get(keys.proof(target, name))
    if raw is None:
        work.clock.acks_unknown += 1
        return
    head_raw, body = rows.split(raw)
    head = ProofHead.unpack(head_raw)
    if head.state != ASKED or head.ask != ack["ask"]:
        return  # told twice, or before it was asked again
    proving(work, target).asked -= 1
    work.clock.prove_at = 0  # another may be asked about
    now = max(work.clock.tick, 0)
    verdict = judge(head, ack, now)
    audited.proof(work, head, ack, verdict)
    blocked = ack["blocked_by"][: counts.MAX_WORDS] if verdict is Verdict.NOT_YET else ""
    if verdict is Verdict.NOT_YET and not blocked and ack["left"] < 0:
        blocked = "the target cannot tell what is left"
    _count(work, target, head, verdict, ack, blocked)
    if verdict in (Verdict.VERIFIED, Verdict.EXEMPT):
        proving(work, target).verified += head.count if verdict is Verdict.VERIFIED else 0
        drop(work, target, name, head)
    elif verdict is Verdict.LEFT:
        proving(work, target).residual += ack["left"]
        if head.level == GONE:
            work.store.put(keys.ungone(target, head.day, name), b"")
        back = replace(head, state=LEFT, level=DELETED, look_at=0, cursor="", anew=[], packs=-1)
        move(work, target, name, back, body)
    else:
        level = _level(head, verdict, ack)
        if level != head.level:
            key = keys.ungone(target, head.day, name)
            work.store.put(key, b"") if level == DELETED else work.store.delete(key)
        later = replace(head, state=WAITS, level=level, bound_s=ack["gone_within_s"])
        move(work, target, name, replace(later, look_at=_next_look(later, now)), body)


def _next_look(head: ProofHead, now: int) -> int:
    """Return when to ask again: when the bound has passed, and then ever more seldom."""
    due = head.deleted_at + max(head.bound_s, 0) * 1000
    return due if due > now else now + min(max(now - due, FIRST_MS), MOST_MS)


def _level(head: ProofHead, verdict: Verdict, ack: Mapping[str, Any]) -> str:
    """Return the level after an answer: what has gone is so no longer where a copy is found."""
    if verdict in (Verdict.GONE, Verdict.VERIFIED):
        return GONE
    return head.level if verdict is Verdict.NOT_YET and ack["left"] <= 0 else DELETED


def _count(work: Work, target: str, head: ProofHead, verdict: Verdict, ack: Mapping[str, Any], blocked: str) -> None:
    """Tell the requests that count these rows."""
    signs = {"gone": (_level(head, verdict, ack) == GONE) - (head.level == GONE)}
    match verdict:
        case Verdict.VERIFIED:
            signs["verified"] = 1
        case Verdict.EXEMPT:
            signs["exempt"] = 1
        case Verdict.LEFT:
            signs["done"] = -1
    left = ack["left"] if verdict is Verdict.LEFT else 0
    counts.proven(work, target, head.org, head.counted, blocked, left=left, **signs)


def proving(work: Work, target: str) -> ProvingRow:
    key = keys.proving(target)
    return work.row(key, ProvingRow) or work.add_row(key, ProvingRow())


def put(work: Work, target: str, name: str, head: ProofHead, body: bytes) -> None:
    """Put a proof row, and its place in the queue."""
    work.store.put(keys.proof(target, name), rows.join(head, body))
    work.store.put(keys.look(target, head.look_at, name), b"")
    work.clock.prove_at = min(work.clock.prove_at, head.look_at)


def move(work: Work, target: str, name: str, head: ProofHead, body: bytes) -> None:
    """Put a proof row that was there before."""
    before = ProofHead.unpack(rows.split(work.store.get(keys.proof(target, name)) or b"")[0])
    work.store.delete(keys.look(target, before.look_at, name))
    put(work, target, name, head, body)


def drop(work: Work, target: str, name: str, head: ProofHead) -> None:
    """A proof has ended."""
    work.store.delete(keys.proof(target, name))
    work.store.delete(keys.look(target, head.look_at, name))
    if head.level != GONE:
        work.store.delete(keys.ungone(target, head.day, name))
    work.clock.proofs -= 1


def oldest_ungone(work: Work, target: str) -> int:
    """Return the oldest day on which it was decided that something goes that is not gone yet, -1: there is none.

    What is on its way counts, and what was acknowledged and must be proven. Reads at most a target's batches.
    """
    first = work.first(keys.UNGONE + keys.text(target)) if work.clock.proofs else None
    days = [] if first is None else [keys.read_ungone(first[0])[1]]
    for _, value in islice(work.store.scan(keys.PENDING + keys.text(target)), work.target(target).pending):
        days.append(PendingHead.unpack(rows.split(value)[0]).day)
    return min(days, default=-1)
