"""Batches: due rows cut to size for one target, sent, and kept as pending.

A batch's id is BLAKE2b-128 over what it concerns: org, category, target, action, the row that its records came from
and the ordinal of the first of them, with the partition (another one has the same offsets). So applying the log again
makes the same ids, and receivers drop what they have.
Used by the sweep, passes and rows looked at again; `tests/unit/streams/ledger/test_sweep.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.batches import encode_batch
from schemas.bodies import encode_columns
from schemas.columns import Columns, Ids
from schemas.rules import Rules
from streams.ledger import audited, barriers, counts, keys, rows, snapshots
from streams.ledger.keys import Position
from streams.ledger.plans import Plan
from streams.ledger.rows import OrgRow, PendingHead, TargetRow
from streams.ledger.state import Work

RETENTION: Final = "retention"
REQUEST: Final = "request"
RESIDUAL: Final = "residual"
"""Why a batch is sent."""
SMALLEST: Final = 32
"""A batch of fewer records takes as much of its target's room as one of so many: each is a row, and a message."""


class Origin(NamedTuple):
    """Where a batch's records come from; `target` is their bucket's. `requests`: erasures that they all belong to."""

    org: str
    category: str
    pos: Position
    forced: bool = False
    target: str = ""
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one origin, encoded once for all targets that they go to; a few have their ids as texts.

    The body, a brief one or those of whole segments, is kept until the batch is answered, and proven to be gone where
    somebody asks for that.
    """

    ids: Ids | list[str]
    body: bytes

    @staticmethod
    def of(columns: Columns) -> Chunk:
        return Chunk(columns.ids, encode_columns(columns, brief=True))

    def texts(self) -> list[str]:
        """Return the records' ids."""
        return self.ids.texts() if isinstance(self.ids, Ids) else self.ids


def room(work: Work, target: str) -> int:
    """Return how many full batches `target` may be sent now; none while it is blocked."""
    assert work.rules is not None
    row = work.target(target)
    return 0 if row.blocked else free(work.rules, row)


def free(rules: Rules, row: TargetRow) -> int:
    """Return how many full batches a target has room for.

    As many as `pending_batches`, or more of them that are small: what bounds them then is how many records they have,
    and `SMALLEST` for each. One at a time, a batch of a single record costs what its way there and back takes.
    """
    few = rules.pending_batches - row.pending
    most = rules.pending_batches * max(1, rules.batch_records // SMALLEST)
    left = rules.pending_batches * rules.batch_records - (row.records_sent - row.records_acked)
    return max(0, few, min(most - row.pending, left // rules.batch_records))


def half_free(rules: Rules, row: TargetRow) -> bool:
    """Whether a target that had no room has half of it again, whatever size its batches are."""
    few = rules.pending_batches // 2
    if row.pending <= few:
        return True
    most = few * max(1, rules.batch_records // SMALLEST)
    return row.pending <= most and row.records_sent - row.records_acked <= few * rules.batch_records


def batch_id(partition: int, origin: Origin, target: str, action: str, first: int) -> str:
    """Return the id of the batch of `origin` whose first record has ordinal `first` there: 32 hex digits."""
    parts = (origin.org, origin.category, target, action)
    raw = b"".join(keys.text(part) for part in parts) + keys.u32(partition) + origin.pos.pack() + keys.u32(first)
    return blake2b(raw, digest_size=16).hexdigest()


def batches(
    work: Work,
    org: OrgRow,
    plan: Plan,
    origin: Origin,
    target: str,
    columns: Columns,
    ordinals: NDArray[np.intp],
    chunks: dict[tuple[int, int], Chunk] | None = None,
) -> None:
    """Send all of `columns` to `target` as batches, and keep them as pending.

    `ordinals` are their rows' ordinals in their origin; `chunks` shares encoded rows between targets of the same rows.
    """
    rules = work.rules
    assert rules is not None
    work.changed.add(origin.org)
    for start in range(0, len(columns), rules.batch_records):
        stop = min(start + rules.batch_records, len(columns))
        chunk = chunks.get((start, stop)) if chunks is not None else None
        part = columns.slice(start, stop)
        if chunk is None:
            chunk = Chunk.of(part)
            if chunks is not None:
                chunks[(start, stop)] = chunk
        name = batch_id(work.context.partition, origin, target, plan.action, int(ordinals[start]))
        _put(work, target, name, _head(work, org, plan, origin, stop - start), part, chunk)
    _block_if_full(work, target)
    work.reported.add(target)


def whole(work: Work, org: OrgRow, plan: Plan, origin: Origin, target: str, chunk: Chunk) -> None:
    """Send all rows of a segment to `target` as the one batch that `batches` would make of them.

    For an org that nobody has asked to erase anything of: then nothing but their number and ids need be known.
    """
    assert not org.barriers
    work.changed.add(origin.org)
    name = batch_id(work.context.partition, origin, target, plan.action, 0)
    _put(work, target, name, _head(work, org, plan, origin, len(chunk.ids)), None, chunk)
    _block_if_full(work, target)
    work.reported.add(target)


def _head(work: Work, org: OrgRow, plan: Plan, origin: Origin, count: int) -> PendingHead:
    assert work.rules is not None
    return PendingHead(
        org=origin.org,
        category=origin.category,
        action=plan.action,
        reason=REQUEST if origin.requests else RETENTION,
        rules_version=work.rules.version,
        policy_version=max(org.policy_version, 0),
        day=work.today,
        sent_day=work.today,
        count=count,
        forced=origin.forced,
        requests=list(origin.requests),
    )


def rest_of(work: Work, target: str, head: PendingHead, columns: Columns) -> None:
    """Send what is left of a batch that was withdrawn, or was not gone, under an id of its own."""
    origin = Origin(head.org, head.category, work.position())
    name = batch_id(work.context.partition, origin, target, head.action, 0)
    rest = replace(head, count=len(columns), sent_day=work.today, holds=[])
    _put(work, target, name, rest, columns, Chunk.of(columns))
    _block_if_full(work, target)


def _block_if_full(work: Work, target: str) -> None:
    if work.rules is not None and not free(work.rules, work.target(target)):
        work.target(target).blocked = True
        work.queue_changes += 1


def _put(work: Work, target: str, name: str, head: PendingHead, columns: Columns | None, chunk: Chunk) -> None:
    """Send one batch and keep it as pending. Without `columns` no request concerns any of its rows."""
    watched = barriers.met(work, head.org, head.category, columns) if columns is not None else {}
    watched = {order: mask for order, mask in watched.items() if order not in head.requests}
    if head.watch or watched:
        head = replace(head, watch=sorted(watched))
    work.store.put(keys.pending(target, name), rows.join(head, chunk.body))
    snapshots.sent(work, head.org, keys.pending(target, name))
    if work.clock.orders or work.clock.selects:  # orders must not follow a record that goes
        work.cut.setdefault((head.org, head.category, target), set()).update(chunk.texts())
    send(work, target, name, head, chunk.ids)
    counts.sent(work, target, head, watched)
    row = work.target(target)
    row.pending += 1
    row.batches_sent += 1
    row.records_sent += head.count


def send(work: Work, target: str, name: str, head: PendingHead, ids: Ids | list[str], *, again: bool = False) -> None:
    """Send one batch, and write that down. The same head and ids make the same bytes, `again` or not."""
    said: dict[str, Any] = {
        "batch_id": name,
        "target": target,
        "org": head.org,
        "category": head.category,
        "action": head.action,
        "reason": head.reason,
        "rules_version": head.rules_version,
        "policy_version": head.policy_version,
        "as_of_day": head.day,
    }
    topic = work.context.topics.erasures(target)
    value = encode_batch(work.context.codec, said, ids)
    work.post(topic, work.context.partition, bytes.fromhex(name), value, sequenced=False)
    audited.batch(work, target, name, head, again=again)
