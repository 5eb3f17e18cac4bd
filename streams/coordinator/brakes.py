"""Braked categories: what ledgers tell of them as one job each, and what an approval of its plan makes of it.

    ledger: braked ─▶ job `brake:<category>:<n>`, braked ─▶ approve(plan) ─▶ BrakeApproved to each partition of the plan
                           ▲                                    checking: planning ─▶ approved: running ─▶ completed
                           └── void: one record more or fewer ──────┴───────────────────────┘

Nobody asks for such a job, and nobody cancels it: who sets the policy right lets it go. Called by
`streams.coordinator.answers` and `moves`; `tests/unit/streams/coordinator/test_brakes.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.jobs import BRAKE, State
from streams.coordinator import keys, plans, policies
from streams.coordinator.rows import Brake, Job
from streams.coordinator.work import Work

WORDS: Final = ("braked", "checking", "approved", "void", "done", "lifted")
_OPEN: Final = frozenset(WORDS[:4])
_WHY: Final[Mapping[str, str]] = {
    "share": "more than the usual share of what is kept is due at once",
    "per_day": "more is due than may be decided on one day",
}


def read_answer(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a `braked` answer that are used. Raises ValueError, KeyError, TypeError."""
    state = str(found["state"])
    if state not in WORDS:
        raise ValueError("no such state of a brake")
    said = {"category": str(found["category"]), "state": state, "at": int(found["at"])}
    said |= {"why": str(found.get("why", ""))}
    return said | ({"plan": plans.read(found["plan"])} if "plan" in found else {})


def told(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A ledger partition tells where the brake of a category stands there."""
    category, partition, word = body["category"], str(record["partition"]), body["state"]
    row = work.brake(name, category)
    if row is None and word == "braked":
        row = work.add_brake(name, category, Brake(job=_open(work, name, category).request_id))
    job = work.job(name, row.job) if row is not None else None
    if row is None or job is None or body["at"] < row.parts.get(partition, {}).get("at", -1):
        return
    row.parts[partition] = {"state": word, "at": body["at"], "why": body["why"], "plan": body.get("plan")}
    if word == "void":
        plans.voided(work, job)
    elif word == "braked":  # under another policy since, perhaps: whoever had a part in what is due stays named
        setters = {*job.detail.get("set_by", ()), *policies.set_by(work, name, category)}
        job.detail["set_by"] = sorted(setters)
    _follow(work, name, category, job, row)


def _open(work: Work, name: str, category: str) -> Job:
    """Make the job of a brake; its id is one that nobody has used."""
    org = work.org(name)
    while True:
        org.brakes += 1
        request_id = f"{BRAKE}:{category}:{org.brakes}"
        if work.job(name, request_id) is None:
            break
    now, setters = work.entry.log_ms, policies.set_by(work, name, category)
    return work.add_job(
        name,
        Job(
            request_id=request_id,
            kind=BRAKE,
            content="",
            requested_by=org.policy_by if org.policy_by in setters else min(setters, default=""),
            asked_at=work.now,
            requested_at=now,
            expires_at=now,
            detail={"category": category},
        ),
    )


def _follow(work: Work, name: str, category: str, job: Job, row: Brake) -> None:
    """Work out from all partitions where the job stands."""
    states = {part["state"] for part in row.parts.values()}
    standing = {p: part["plan"] for p, part in row.parts.items() if part["state"] == "braked" and part["plan"]}
    if states & {"braked", "void"}:
        why = sorted({part["why"] for part in row.parts.values() if part["state"] in ("braked", "void")})
        plans.show(name, job, standing, category=category, why=why)
        text = "; ".join(_WHY.get(each, each) for each in why)
        plans.brake(work, job, f"{text}: set the policy right, or approve the plan")
    elif "checking" in states:
        _to(work, job, State.PLANNING, "an approval is held against what is due now")
    elif "approved" in states:
        _to(work, job, State.RUNNING, "exactly the approved plan is carried out")
    elif not states & _OPEN:
        done = "done" in states
        _to(work, job, State.COMPLETED, "" if done else "nothing exceeds a limit any more: nothing was decided by this")
        work.drop(keys.of(keys.BRAKE, name, category))


def _to(work: Work, job: Job, state: State, text: str) -> None:
    if job.state != state and not job.ended:
        work.to(job, state, text=text)


def approved(work: Work, name: str, other: Job) -> None:
    """Tell each partition of the plan that it may go on, if it is still the same there."""
    category = other.detail["category"]
    row = work.brake(name, category)
    assert row is not None
    for partition, part in sorted(row.parts.items()):
        if part["state"] == "braked" and part["plan"]:
            command = {
                "org": name,
                "category": category,
                "request_id": other.detail["approval"],
                "day": part["plan"]["day"],
                "digest": part["plan"]["digest"],
            }
            part["state"] = "checking"
            work.to_ledger([int(partition)], "BrakeApproved", command)
    _follow(work, name, category, other, row)
