"""Restriction of people's data (GDPR Art. 18) and its end: held on every shard, hidden in each target that can.

    restrict    (verifying_identity ─▶ awaiting_approval ─▶) planning ─▶ running ─▶ awaiting_acks ─▶ completed, or
                completed_with_exceptions                            HoldPlaced, then OrderRecords hide · hold, ordered
    unrestrict  planning ─▶ running ─▶ awaiting_acks ─▶ the same     OrderRecords unhide, then HoldReleased

A restriction stands until it is lifted, whatever becomes of its job. No two concern the same person's records, and none
is placed or lifted beside a deletion of the org: so what hides a record is known, and only that brings it back. Called
by `streams.coordinator.requests`, `people` and `answers`; `tests/unit/streams/coordinator/test_restrictions.py` says
what it promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from schemas.jobs import State
from schemas.rules import Rules
from schemas.subjects import pack_refs
from streams.coordinator import holds, keys, orders, rights
from streams.coordinator.refusal import No
from streams.coordinator.rows import Hold, Job, Restriction
from streams.coordinator.work import Work
from streams.ledger.holds import RESTRICTION

RESTRICT, UNRESTRICT = "restrict", "unrestrict"
_REF_DIGITS: Final = 16
_ACTIONS: Final = {RESTRICT: "hide", UNRESTRICT: "unhide"}


def restrict(work: Work, name: str, job: Job, subjects: list[str]) -> None:
    """Hold and hide what some people have. Raises No."""
    assert work.rules is not None
    body, deadline = job.body, rights.deadline_of(work, job)
    categories = holds.canonical_categories(work.rules, body["categories"])
    _refuse_beside_a_deletion(work, name)
    refs = pack_refs(work.context.subjects.refs(name, subjects)).hex()
    row = Restriction(request_id=job.request_id, refs=refs, categories=categories)
    for other in work.restrictions(name):
        if _meet(work.rules, row, other):
            raise No("restricted", f"restriction {other.request_id} concerns somebody who is named; lift that first")
    work.add_restriction(name, row)
    job.body = {}
    job.detail = {"regime": body["regime"], "identity": body["identity"], "categories": categories}
    job.deadline = deadline
    if not rights.waits_for_identity(work, job, body):
        identified(work, name, job)


def _refuse_beside_a_deletion(work: Work, name: str) -> None:
    deletion = work.org(name).deletion
    if deletion:
        raise No(
            "under_way", f"deletion {deletion} hides the org; a restriction can be placed or lifted when it is over"
        )


def _meet(rules: Rules, one: Restriction, other: Restriction) -> bool:
    """Whether two restrictions could concern the same person's record."""
    named = [{row.refs[i : i + _REF_DIGITS] for i in range(0, len(row.refs), _REF_DIGITS)} for row in (one, other)]
    return bool(named[0] & named[1]) and bool(_concerned(rules, one).keys() & _concerned(rules, other).keys())


def _concerned(rules: Rules, row: Restriction) -> dict[str, list[str]]:
    """Return the categories with records that a restriction concerns, and the targets that can hide them."""
    named = set(row.categories)
    return {
        category.name: list(category.hides)
        for category in rules.categories.values()
        if category.targets and (not named or named & {up.name for up in rules.lineage(category.name)})
    }


def identified(work: Work, name: str, job: Job) -> None:
    """Go on with a request when it is sure who asks."""
    row = work.restriction(name, job.request_id)
    assert row is not None
    if not rights.waits_for_approval(work, job, len(row.refs) // _REF_DIGITS):
        approved(work, name, job)


def approved(work: Work, name: str, job: Job) -> None:
    """Place the hold, and have every shard hide what there is."""
    row, rules, org = work.restriction(name, job.request_id), work.rules, work.org(name)
    assert row is not None
    assert rules is not None
    work.to(job, State.PLANNING)
    if org.deletion:  # it began while a person was waited for
        work.to(job, State.FAILED, text=f"deletion {org.deletion} hides the org: ask again when it is over")
        cancelled(work, name, job)
        return
    digest = hashlib.blake2b(job.request_id.encode(), digest_size=16)
    row.hold_id, row.parts = RESTRICTION + digest.hexdigest(), _concerned(rules, row)
    row.stamp = work.now * 1000 + int.from_bytes(digest.digest()[:4], "big") % 1000
    row.told = job.told = work.partitions_of(name, org)
    hold = Hold(
        hold_id=row.hold_id,
        request_id=job.request_id,
        categories=row.categories,
        refs=row.refs,
        grace_days=0,
        placed_at=work.entry.log_ms,
        told=row.told,
    )
    holds.put(work, name, hold)
    job.detail |= {"shards": len(job.told), "answered": 0, "hold_id": row.hold_id}
    work.to_ledger(job.told, "OrderRecords", _command(work, name, job.request_id, row, _ACTIONS[job.kind]))


def cancelled(work: Work, name: str, job: Job) -> None:
    """Forget a restriction that will never be placed."""
    work.drop(keys.of(keys.RESTRICTION, name, job.request_id))


def unrestrict(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Bring back what a restriction has hidden, and end its hold. Raises No."""
    row = work.restriction(name, job.body["job"])
    if row is None:
        raise No("unknown_job", f"the org has no restriction {job.body['job']!r} that stands")
    if row.lifted_by or not row.settled:
        why = f"is lifted by {row.lifted_by}" if row.lifted_by else "is not placed everywhere yet"
        raise No("wrong_state", f"restriction {row.request_id} {why}")
    _refuse_beside_a_deletion(work, name)
    row.lifted_by = job.request_id
    job.told = list(row.told)
    job.detail = {"job": row.request_id, "shards": len(job.told), "answered": 0}
    work.to_ledger(job.told, "OrderRecords", _command(work, name, job.request_id, row, _ACTIONS[job.kind]))
    work.to(job, State.PLANNING)


def _command(work: Work, name: str, request_id: str, row: Restriction, action: str) -> dict[str, Any]:
    return {
        "org": name,
        "epoch": work.org(name).epoch,
        "request_id": request_id,
        "action": action,
        "stamp": row.stamp,
        "subjects": bytes.fromhex(row.refs),
        "records": [],
        "parts": [{"category": c, "targets": targets, "sealed": b""} for c, targets in sorted(row.parts.items())],
    }


def answered(work: Work, name: str, job: Job, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard tells how far it is with hiding, or with bringing back."""
    row = work.restriction(name, job.request_id if job.kind == RESTRICT else job.body["job"])
    if row is None:
        return
    if record["error"]:
        if record["epoch"] < work.org(name).epoch:
            work.to_ledger(
                [record["partition"]], "OrderRecords", _command(work, name, job.request_id, row, _ACTIONS[job.kind])
            )
        else:
            job.text = f"partition {record['partition']}: {record['error']}"
        return
    if orders.note(work, name, job, record, body):
        _follow(work, name, job, row)


def held(work: Work, name: str, record: Mapping[str, Any]) -> None:
    """A shard has a hold in force, or says on which day it ends: a job may have waited for that."""
    hold = work.hold(name, record["request_id"])
    if hold is None or not hold.hold_id.startswith(RESTRICTION):
        return
    row = work.restriction(name, hold.request_id)
    job = None if row is None else work.job(name, row.lifted_by or row.request_id)
    if row is not None and job is not None and not job.ended:
        _follow(work, name, job, row)


def _follow(work: Work, name: str, job: Job, row: Restriction) -> None:
    """Work out where a job stands; a restriction is settled, or over, with its job."""
    hold = work.hold(name, row.hold_id)
    assert hold is not None
    if job.kind == RESTRICT:
        orders.follow(work, name, job, ready=hold.state == "in_force")
        row.settled = job.ended
        return
    over = set(hold.released_by) >= set(hold.told)
    orders.follow(work, name, job, ready=over)
    if job.state == State.AWAITING_ACKS and orders.all_over(work, name, job) and hold.state != "released":
        _hide_again(work, name, row)
        holds.let_go(work, name, hold, job)
    if job.ended:
        work.drop(keys.of(keys.RESTRICTION, name, row.request_id))


def _hide_again(work: Work, name: str, lifted: Restriction) -> None:
    """Have what others restrict as well hidden by them: a record of two people was hidden by the first alone."""
    for row in work.restrictions(name):
        if row.settled and row.request_id != lifted.request_id and not row.lifted_by:
            work.to_ledger(row.told, "OrderRecords", _command(work, name, row.request_id, row, _ACTIONS[RESTRICT]))
