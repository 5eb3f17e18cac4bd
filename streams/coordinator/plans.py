"""What is braked, as one plan of all partitions: its hash is what a person approves.

    hash = SHA-256(canonical JSON of org, what is braked, and of each partition: position, day, records, targets, …)

Pure. Used by `streams.coordinator.brakes` and `surveys`; `tests/unit/streams/coordinator/test_brakes.py` says what it
promises.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from schemas.braketoken import is_good
from schemas.jobs import State
from streams.coordinator.counted import a_count, counts_by_name
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import Work

Plan = dict[str, Any]
"""One partition's part: position, records, targets, digest, and of a sweep day and action."""


def read(found: Mapping[str, Any]) -> Plan:
    """Return the members of a partition's plan that are used. Raises ValueError, KeyError, TypeError."""
    plan: Plan = {name: a_count(found[name]) for name in ("position", "records")}
    plan |= {"targets": counts_by_name(found["targets"]), "digest": str(found["digest"])}
    if "day" in found:
        plan |= {"day": a_count(found["day"]), "action": str(found["action"])}
    return plan


def show(name: str, job: Job, plans: Mapping[str, Plan], **about: Any) -> None:
    """Put a plan into a job's detail, with its hash; without plans take it out."""
    job.detail |= about
    if not plans:
        for member in ("plan", "plan_hash", "records"):
            job.detail.pop(member, None)
        return
    listed = [
        {"partition": int(partition), **plan} for partition, plan in sorted(plans.items(), key=lambda p: int(p[0]))
    ]
    said = json.dumps([name, job.request_id, about, listed], sort_keys=True, separators=(",", ":"))
    job.detail |= {
        "plan": listed,
        "records": sum(plan["records"] for plan in listed),
        "plan_hash": hashlib.sha256(said.encode()).hexdigest(),
    }


def check_approval(work: Work, name: str, job: Job, other: Job) -> None:
    """Refuse an approval that is not of exactly the plan, or by nobody who may give it. Raises No."""
    wanted, token = job.body["plan"], job.body["token"]
    known = other.detail.get("plan_hash", "")
    if not wanted:
        raise No("bad_body", "plan: is missing; give the hash of the plan that you have seen")
    if wanted != known:
        raise No("stale_plan", f"the plan of job {other.request_id} is {known or 'being counted'}: read it again")
    if token:
        now = work.entry.log_ms
        if not is_good(token, work.context.rules_key, org=name, job=other.request_id, plan=wanted, now_ms=now):
            raise No("bad_token", "token: is not one that the installation made for this plan, or has ended")
    elif not job.requested_by or job.requested_by in (other.requested_by, *other.detail.get("set_by", ())):
        raise No("own_approval", "requested_by: must name somebody else than who asked, or set the policy")
    other.detail |= {"approved_by": job.requested_by, "approved_plan": wanted, "approval": job.request_id}
    work.stats().approvals += 1


def voided(work: Work, job: Job) -> None:
    """Count an approval that was of another plan than there is."""
    job.detail["voided"] = job.detail.get("voided", 0) + 1
    work.stats().voided += 1


def brake(work: Work, job: Job, text: str) -> None:
    """Let a job stand until its plan is approved."""
    if job.state == State.BRAKED:
        job.text = text
    else:
        work.to(job, State.BRAKED, text=text)
