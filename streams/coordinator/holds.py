"""Legal holds: placed on every shard, in force once all of them say so, ended a grace after their release.

    requested ─▶ in_force ─▶ released ─▶ (gone: a tombstone on `holds`, when the last shard's grace is over)

A hold may be placed before its org is known: the org then opens with it. Called by `streams.coordinator.requests`,
`answers`, `catch_up` and `timers`; `tests/unit/streams/coordinator/test_holds.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.envelope import status_key
from schemas.jobs import State
from schemas.rules import Rules
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator import keys
from streams.coordinator.refusal import No
from streams.coordinator.rows import Hold, Job
from streams.coordinator.work import HOLD_ENDS, Work
from streams.ledger.holds import RESTRICTION

HOLD, RELEASE = "hold", "release"


def hold(work: Work, name: str, job: Job, subjects: list[str]) -> None:
    """Place a hold. Raises No."""
    assert work.rules is not None
    body = job.body
    if subjects and body["records"]:
        raise No("bad_body", "records: a hold is about subjects or about records; place two")
    categories = canonical_categories(work.rules, body["categories"])
    if body["hold_id"].startswith(RESTRICTION):
        raise No("bad_body", f"hold_id: what begins with {RESTRICTION!r} belongs to restrictions; choose another")
    if work.hold(name, body["hold_id"]) is not None:
        raise No("hold_exists", f"a hold {body['hold_id']!r} is in force; choose another id")
    org = work.org(name)
    placed = put(
        work,
        name,
        Hold(
            hold_id=body["hold_id"],
            request_id=job.request_id,
            categories=categories,
            refs=pack_refs(work.context.subjects.refs(name, subjects)).hex() if subjects else "",
            records=body["records"],
            grace_days=body["grace_days"],
            placed_at=work.entry.log_ms,
            told=work.partitions_of(name, org),
        ),
    )
    job.body = {"hold_id": placed.hold_id, "grace_days": placed.grace_days}
    work.to(job, State.PLANNING, text="" if placed.told else "it is in force as soon as the org is published")
    _count(job, placed)


def put(work: Work, name: str, placed: Hold) -> Hold:
    """Place a hold on every shard that it is to be told."""
    work.add_hold(name, placed)
    work.to_ledger(placed.told, "HoldPlaced", hold_placed(name, work.org(name).epoch, placed))
    _show(work, name, placed)
    return placed


def let_go(work: Work, name: str, found: Hold, job: Job) -> None:
    """Have a hold end after its grace, by request of a job."""
    found.state, found.released_at, found.release_id = "released", work.entry.log_ms, job.request_id
    work.to_ledger(found.told, "HoldReleased", hold_released(name, work.org(name).epoch, found))
    _show(work, name, found)


def release(work: Work, name: str, job: Job, _: list[str]) -> None:
    """End a hold after its grace. Raises No."""
    hold_id = job.body["hold_id"]
    found = work.hold(name, hold_id)
    if found is None:
        raise No("unknown_hold", f"the org has no hold {hold_id!r}")
    if found.state == "released":
        raise No("unknown_hold", f"hold {hold_id!r} was released before, and ends by itself")
    if hold_id.startswith(RESTRICTION):
        raise No("wrong_state", f"hold {hold_id!r} is that of restriction {found.request_id}; lift that")
    job.detail = {"hold_id": hold_id}
    job.told = list(found.told)
    let_go(work, name, found, job)
    work.to(job, State.PLANNING)
    placing = work.job(name, found.request_id)
    if placing is not None and not placing.ended:
        text = "it was released before every shard had it in force"
        work.to(placing, State.COMPLETED_WITH_EXCEPTIONS, text=text)


def hold_answered(work: Work, name: str, record: Mapping[str, Any]) -> None:
    """A shard has a hold in force: no batch that holds such a row is on its way any more."""
    found, partition = work.hold(name, record["request_id"]), record["partition"]
    if found is None or partition not in found.told:
        return
    job = work.job(name, found.request_id)
    if record["error"]:
        epoch = work.org(name).epoch
        if record["epoch"] < epoch:
            work.to_ledger([partition], "HoldPlaced", hold_placed(name, epoch, found))
        elif job is not None and not job.ended:
            job.text = f"partition {partition}: {record['error']}"
        return
    if partition not in found.answered:
        found.answered = sorted([*found.answered, partition])
    if found.state == "requested" and set(found.answered) >= set(found.told):
        found.state = "in_force"
        _show(work, name, found)
    if job is None or job.ended or job.kind != HOLD:
        return
    _count(job, found)
    if found.state == "in_force":
        work.to(job, State.COMPLETED)
    elif job.state == State.PLANNING:
        work.to(job, State.RUNNING)


def released_answered(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard says on which day the hold ends there."""
    found, partition = work.hold(name, record["request_id"]), record["partition"]
    if found is None or found.state != "released" or partition not in found.told:
        return
    job = work.job(name, found.release_id)
    if record["error"]:
        epoch = work.org(name).epoch
        if record["epoch"] < epoch:
            work.to_ledger([partition], "HoldReleased", hold_released(name, epoch, found))
        elif job is not None and not job.ended:
            job.text = f"partition {partition}: {record['error']}"
        return
    found.ends_day = max(found.ends_day, body["ends_day"])
    if partition not in found.released_by:
        found.released_by = sorted([*found.released_by, partition])
    if set(found.released_by) >= set(found.told):
        work.store.put(keys.timer(found.ends_day * DAY_MS, HOLD_ENDS, name, found.hold_id), b"")
        if job is not None and not job.ended and job.kind == RELEASE:
            job.detail |= {"ends_day": found.ends_day}
            work.to(job, State.COMPLETED)


def end(work: Work, name: str, hold_id: str) -> None:
    """Forget a hold whose grace is over on every shard."""
    found = work.hold(name, hold_id)
    if found is None or found.state != "released" or set(found.released_by) < set(found.told):
        return
    if found.ends_day * DAY_MS > work.reached:  # a shard that came later ends it later, by another timer
        return
    work.publish(work.context.topics.holds, status_key(name, hold_id), "HoldState", None)
    work.drop(keys.of(keys.HOLD, name, hold_id))


def canonical_categories(rules: Rules, asked: list[str]) -> list[str]:
    """Return the categories by their own names. Raises No."""
    names = sorted({rules.canonical(category) for category in asked})
    unknown = [name for name in names if name not in rules.categories]
    if unknown:
        raise No("unknown_category", f"{unknown[0]!r} is unknown; there are {', '.join(sorted(rules.categories))}")
    return names


def hold_placed(name: str, epoch: int, placed: Hold) -> dict[str, Any]:
    """Return the command that places a hold on a shard."""
    return {
        "org": name,
        "epoch": epoch,
        "hold_id": placed.hold_id,
        "categories": placed.categories,
        "subjects": bytes.fromhex(placed.refs),
        "records": placed.records,
        "grace_days": placed.grace_days,
    }


def hold_released(name: str, epoch: int, released: Hold) -> dict[str, Any]:
    """Return the command that ends a hold on a shard."""
    return {"org": name, "epoch": epoch, "hold_id": released.hold_id}


def _count(job: Job, placed: Hold) -> None:
    answered = len(set(placed.answered) & set(placed.told))
    job.detail = {"hold_id": placed.hold_id, "shards": len(placed.told), "answered": answered}


def _show(work: Work, name: str, shown: Hold) -> None:
    state = {
        "org": name,
        "hold_id": shown.hold_id,
        "state": shown.state,
        "categories": shown.categories,
        "subjects": bytes.fromhex(shown.refs),
        "records": shown.records,
        "grace_days": shown.grace_days,
        "request_id": shown.request_id,
        "placed_at": shown.placed_at,
        "released_at": shown.released_at,
        "at": work.entry.log_ms,
    }
    work.publish(work.context.topics.holds, status_key(name, shown.hold_id), "HoldState", state)
