"""The steps of proofs: targets are asked when it is time, and what they still have is erased again.

At most as many questions are out as a target may have batches; what is left is erased as soon as it has room, under
ids of its own, but what is held since: that comes back, as what a target withholds does. Called by the steps;
`tests/unit/streams/ledger/test_proofs.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from schemas.bodies import decode_columns
from streams.ledger import counts, cut, holds, keys, pending, proofs, rows
from streams.ledger.counts import WITHHELD
from streams.ledger.proofs import ASKED, LEFT
from streams.ledger.rows import PendingHead, ProofHead
from streams.ledger.state import DAY_S, Work

_NEVER: Final = 1 << 62
_LOOK_AGAIN_MS: Final = 60_000
"""What waits for room is looked at when something is acknowledged, and so often: rules may give a target more."""


def waiting(work: Work) -> bool:
    """Whether it is time for some proof; notes when it is, where it is not."""
    clock = work.clock
    return clock.proofs > 0 and work.rules is not None and clock.tick >= clock.prove_at and _next(work) is not None


def run(work: Work, budget: int) -> int:
    """Do what is next, about `budget` records; return what it cost."""
    cost = 0
    while cost < budget:
        found = _next(work)
        if found is None:
            break
        target, name = found
        raw = work.store.get(keys.proof(target, name))
        assert raw is not None
        head_raw, body = rows.split(raw)
        head = ProofHead.unpack(head_raw)
        if head.state == LEFT:
            _erase_again(work, target, name, head, body)
        else:
            _ask(work, target, name, head, body)
        cost += head.count
    return max(cost, 1)


def _next(work: Work) -> tuple[str, str] | None:
    """Return target and batch of the first proof whose time has come and whose target may have more; else note when
    the next one's time comes."""
    soonest, start = _NEVER, b""
    while (found := work.first(keys.LOOK, start)) is not None:
        target, at, name = keys.read_look(found[0])
        if at > work.clock.tick:
            soonest = min(soonest, at)
        elif _has_room(work, target, at):
            return target, name
        else:
            soonest = min(soonest, work.clock.tick + _LOOK_AGAIN_MS)
        start = keys.LOOK + keys.text(target) + b"\xff" * 25
    work.clock.prove_at = soonest
    return None


def _has_room(work: Work, target: str, at: int) -> bool:
    """Whether a target may be sent what comes first: what is left lies at 0."""
    if not at:
        return cut.room(work, target) > 0
    assert work.rules is not None
    return proofs.proving(work, target).asked < work.rules.pending_batches


def _ask(work: Work, target: str, name: str, head: ProofHead, body: bytes) -> None:
    """Ask a target about a batch; one that never answered gets the same bytes again."""
    assert work.rules is not None
    ask = head.ask + (head.state != ASKED)
    record = {
        "batch_id": name,
        "ask": ask,
        "target": target,
        "org": head.org,
        "category": head.category,
        "action": head.action,
        "record_ids": decode_columns(body).ids.texts(),
    }
    topic = work.context.topics.erasures(target)
    work.send(topic, work.context.partition, bytes.fromhex(name), "VerifyBatch", record, sequenced=False)
    proofs.proving(work, target).asked += head.state != ASKED
    silent = max(work.clock.tick, 0) + work.rules.resend_days * DAY_S * 1000
    proofs.move(work, target, name, replace(head, state=ASKED, ask=ask, look_at=silent), body)


def _erase_again(work: Work, target: str, name: str, head: ProofHead, body: bytes) -> None:
    """Erase what was acknowledged and is there: under a new id, as a batch like any other."""
    columns = decode_columns(body)
    proofs.drop(work, target, name, head)
    counts.proven(work, target, head.org, head.counted, "", due=-1)  # they are counted again where they go now
    again = PendingHead(
        org=head.org,
        category=head.category,
        action=head.action,
        reason=cut.RESIDUAL,
        rules_version=head.rules_version,
        policy_version=head.policy_version,
        day=head.day,
        sent_day=max(work.today, 0),
        count=head.count,
        forced=head.forced,
        requests=list(head.requests),
    )
    held = holds.mask(work, head.org, head.category, columns)
    if held is not None:
        pending.come_back(work, target, again, columns.take(np.flatnonzero(held)), WITHHELD)
        columns = columns.take(np.flatnonzero(~held))
    if len(columns):
        cut.rest_of(work, target, again, columns)
