"""What the ledger does to the outside is written down for the audit log, in the same entry: no batch without it.

One intent for each batch, order and answer, whatever number of records it speaks of. Called where the effect is made;
`tests/unit/streams/ledger/test_audited.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from ebbtide.partition import partition_of
from streams.audit.intents import intent
from streams.ledger.brake_rows import BrakeRow
from streams.ledger.rows import OrderHead, PendingHead, ProofHead
from streams.ledger.state import Work

_REMEMBERED: Final = 4_096
"""Of so many orgs it is known where their entries go: several of one come close together."""


def batch(work: Work, target: str, name: str, head: PendingHead, *, again: bool) -> None:
    """A batch is sent; `again`: the same one was sent before."""
    facts = {
        "batch": name,
        "target": target,
        "category": head.category,
        "action": head.action,
        "reason": head.reason,
        "records": head.count,
        "day": head.day,
        "rules": head.rules_version,
        "policy": head.policy_version,
        "again": again,
    }
    _write(work, "batch", head.org, facts, head.requests)


def ack(work: Work, head: PendingHead, said: Mapping[str, Any]) -> None:
    """An answer to a batch is taken into account."""
    facts = {
        "batch": said["batch_id"],
        "target": said["target"],
        "category": head.category,
        "outcome": said["outcome"],
        "level": said["level"],
        "records": head.count,
        "found": said["found"],
        "changed": said["changed"],
        "withheld": len(said["withheld"]),
        "failed": len(said["failed"]),
    }
    _write(work, "ack", head.org, facts, head.requests)


def proof(work: Work, head: ProofHead, said: Mapping[str, Any], verdict: str) -> None:
    """A target's word on whether a batch is gone is taken into account."""
    facts = {
        "batch": said["batch_id"],
        "target": said["target"],
        "category": head.category,
        "records": head.count,
        "level": said["level"],
        "left": said["left"],
        "verdict": verdict,
    }
    _write(work, "proof", head.org, facts, head.requests)


def hide(work: Work, org: str, request: str, order: Mapping[str, Any]) -> None:
    """An order to hide, to bring back or to settle is sent."""
    facts = {"order": order["order_id"], **{name: order[name] for name in ("target", "category", "action")}}
    _write(work, "hide", org, facts, [request])


def hide_ack(work: Work, org: str, request: str, said: Mapping[str, Any]) -> None:
    """An answer to an order is taken into account."""
    facts = {"order": said["order_id"], **{name: said[name] for name in ("target", "outcome", "rows", "failed")}}
    _write(work, "hide_ack", org, facts, [request])


def order(work: Work, head: OrderHead, said: Mapping[str, Any]) -> None:
    """An order about records that stay is sent: to set them right, to hide them or to bring them back."""
    facts = {"order": said["order_id"], **{name: said[name] for name in ("target", "category", "action")}}
    _write(work, "order", head.org, {**facts, "records": head.count}, [head.request_id])


def order_ack(work: Work, head: OrderHead, said: Mapping[str, Any]) -> None:
    """An answer to such an order is taken into account."""
    facts = {
        "order": said["batch_id"],
        "target": said["target"],
        "outcome": said["outcome"],
        "records": head.count,
        "changed": said["changed"],
        "withheld": len(said["withheld"]),
        "failed": len(said["failed"]),
    }
    _write(work, "order_ack", head.org, facts, [head.request_id])


def brake(work: Work, org: str, category: str, approval: str, state: str, row: BrakeRow) -> None:
    """A category is braked, approved or let go, or an approval is void."""
    facts = {"category": category, "state": state, "why": row.why, "day": row.day, "records": row.records}
    _write(work, "brake", org, {**facts, "digest": row.digest}, [approval])


def listed(work: Work, org: str, request: str, said: Mapping[str, Any]) -> None:
    """A list for an export is made."""
    _write(work, "list", org, {"parts": said["parts"], "targets": said["targets"]}, [request])


_partition_of = lru_cache(_REMEMBERED)(partition_of)


def _write(work: Work, kind: str, org: str, facts: Mapping[str, Any], requests: Iterable[str]) -> None:
    context, key = work.context, org.encode()
    place = _partition_of(key, context.answer_partitions)
    record = intent(kind, org, facts, request=requests)
    work.send(context.topics.audit_intents, place, key, "AuditIntent", record, sequenced=False)
