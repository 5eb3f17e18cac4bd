"""The steps of proofs: targets are asked when it is time, and what they still have is erased again.

At most as many questions are out as a target may have batches; what is left is erased as soon as it has room, under
ids of its own, but what was made anew since, and what is held: that comes back, as what a target withholds does.
Called by the steps; `tests/unit/streams/ledger/test_proofs.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from schemas.bodies import decode_columns
from schemas.columns import Columns
from streams.ledger import barriers, counts, cut, holds, keys, packs, pending, proofs, reborn, rows, sheaves
from streams.ledger.concern import lineage
from streams.ledger.counts import WITHHELD
from streams.ledger.proofs import ASKED, LEFT
from streams.ledger.rows import PendingHead, ProofHead
from streams.ledger.state import DAY_S, Work

_NEVER: Final = 1 << 62
_LOOK_AGAIN_MS: Final = 60_000
MOST_ASKED: Final = 64
"""So many questions are out to a target, though more batches may be: each is a look through its store."""
"""What waits for room is looked at when something is acknowledged, and so often: rules may give a target more."""


def waiting(work: Work) -> bool:
    """Whether it is time for some proof; notes when it is, where it is not."""
    clock = work.clock
    if not clock.proofs or work.rules is None or clock.tick < clock.prove_at:
        return False
    found = _next(work)
    return found is not None and not _is_early(work, *found)


def _is_early(work: Work, target: str, name: str) -> bool:
    """Whether rows are back, and packs that may say that they were made anew are not sorted out yet."""
    row = work.packs()
    if not (row.packs or row.draws) or work.store.get(keys.look(target, 0, name)) is None:
        return False
    raw = work.store.get(keys.proof(target, name))
    assert raw is not None
    head = ProofHead.unpack(rows.split(raw)[0])
    return packs.is_kept(work, head.org, head.packs)


def run(work: Work, budget: int) -> int:
    """Do what is next, about `budget` records; return what it cost."""
    cost = 0
    while cost < budget:
        found = _next(work)
        if found is None or _is_early(work, *found):
            break
        target, name = found
        raw = work.store.get(keys.proof(target, name))
        assert raw is not None
        head_raw, body = rows.split(raw)
        head = ProofHead.unpack(head_raw)
        if head.state == LEFT:
            cost += _erase_again(work, target, name, head, body, budget - cost)
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
    return proofs.proving(work, target).asked < min(work.rules.pending_batches, MOST_ASKED)


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


def _erase_again(work: Work, target: str, name: str, head: ProofHead, body: bytes, budget: int) -> int:
    """Erase what was acknowledged and is there: under a new id, as a batch like any other. What was made anew since is
    looked for first, about `budget` records; return what it cost."""
    if head.cursor == "" and head.packs < 0 and (work.packs().packs or work.packs().sheaves):
        # The answer may have come long ago, when the target had no room: what was made anew since may lie in a pack.
        sheaves.draw(work, head.org)
        proofs.move(work, target, name, replace(head, packs=max(packs.newest(work.packs()), 0)), body)
        return 1
    columns, cost = decode_columns(body), head.count
    if head.cursor is not None:
        head, looked = reborn.look(work, head, columns, budget)
        cost += looked
        proofs.move(work, target, name, head, body)
    if head.cursor is not None:
        return cost
    proofs.drop(work, target, name, head)
    counts.proven(work, target, head.org, head.counted, "", due=-1)  # they are counted again where they go now
    if head.anew:
        spared = np.isin(np.arange(head.count), np.array(head.anew, np.intp))
        counts.made_anew(work, target, head.org, _counted(work, head, columns.take(np.flatnonzero(spared))))
        columns = columns.take(np.flatnonzero(~spared))
    again = PendingHead(
        org=head.org,
        category=head.category,
        action=head.action,
        reason=cut.RESIDUAL,
        rules_version=head.rules_version,
        policy_version=head.policy_version,
        day=head.day,
        sent_day=max(work.today, 0),
        count=len(columns),
        forced=head.forced,
        requests=list(head.requests),
    )
    held = holds.mask(work, head.org, head.category, columns) if len(columns) else None
    if held is not None:
        pending.come_back(work, target, again, columns.take(np.flatnonzero(held)), WITHHELD)
        columns = columns.take(np.flatnonzero(~held))
    if len(columns):
        cut.rest_of(work, target, again, columns)
    return cost


def _counted(work: Work, head: ProofHead, columns: Columns) -> dict[str, int]:
    """Return how many of some rows of a batch each request counts that counts rows of it."""
    known = barriers.of(work, head.org)
    names, found = lineage(work.rules, head.category), dict.fromkeys(head.requests, len(columns))
    for order in head.counted:
        barrier = known.by_id.get(order) if known is not None else None
        if order not in found and barrier is not None and barrier.concerns(names):
            found[order] = int(barrier.rows(columns).sum())
    return found
