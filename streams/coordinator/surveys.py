"""The brake on requests: what an erasure would find is counted on every shard before any of them is told to erase.

    planning ─ Survey · surveyed ─┬─▶ within the limits: the erasure is sent
                                  └─▶ braked, with the plan ─ approve ─▶ planning: counted again ─┬─▶ the same: sent
                                         ▲                                                        │
                                         └── void: another, and above the limits ─────────────────┘

Shards that hold few records answer at once with an upper bound; only if the bounds together exceed a limit is each
record counted. Called by `streams.coordinator.erasures`, `answers` and `moves`;
`tests/unit/streams/coordinator/test_surveys.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.brake import Limits
from schemas.jobs import State
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator import plans
from streams.coordinator.counted import a_count
from streams.coordinator.rows import Job
from streams.coordinator.work import Work

COUNTED = "what it would erase is counted, and nothing is erased yet"


def read_answer(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a `surveyed` answer that are used. Raises ValueError, KeyError, TypeError."""
    more = {"number": a_count(found["number"]), "kept": a_count(found["kept"]), "exact": bool(found["exact"])}
    return plans.read(found) | more


def limits_of(work: Work, name: str) -> Limits | None:
    """Return what holds for an org's requests, None: no limit does."""
    return work.rules.limits(name) if work.rules is not None else None


def begin(work: Work, name: str, job: Job) -> None:
    """Ask every shard what a job would erase: its body says of whom, in which categories, up to when."""
    limits = limits_of(work, name)
    assert limits is not None
    over = limits.most_asked(0, today=0, everyone=_everyone(job)) if not limits.per_day else -1
    job.body["survey"] = {"number": 0, "approved": False, "plans": {}}
    _ask(work, name, job, over)
    if job.state != State.PLANNING:
        work.to(job, State.PLANNING, text=COUNTED)


def _everyone(job: Job) -> bool:
    return not job.body.get("refs")


def _ask(work: Work, name: str, job: Job, over: int) -> None:
    org, body = work.org(name), job.body
    survey = body["survey"]
    survey |= {"number": survey["number"] + 1, "told": work.partitions_of(name, org), "answers": {}}
    raw = bytes.fromhex(body.get("refs", ""))
    refs = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
    command = {
        "org": name,
        "epoch": org.epoch,
        "request_id": job.request_id,
        "number": survey["number"],
        "everyone": not refs,
        "subjects": pack_refs(refs),
        "categories": body["categories"],
        "through": body["through"],
        "exact_over": over,
    }
    work.to_ledger(survey["told"], "Survey", command)
    job.detail |= {"shards": len(survey["told"]), "answered": 0}


def answered(work: Work, name: str, job: Job, record: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """A shard has counted; return whether the job may go on: all have, and nothing is too much, or it is approved."""
    survey = job.body.get("survey")
    if survey is None or job.state != State.PLANNING or record["partition"] not in survey["told"]:
        return False
    if record["error"]:
        if record["epoch"] < work.org(name).epoch:
            _ask(work, name, job, -1)
        else:
            job.text = f"partition {record['partition']}: {record['error']}"
        return False
    if body["number"] != survey["number"]:
        return False
    survey["answers"][str(record["partition"])] = dict(body)
    job.detail["answered"] = len(survey["answers"])
    if len(survey["answers"]) < len(survey["told"]):
        return False
    return _judge(work, name, job, survey)


def _judge(work: Work, name: str, job: Job, survey: dict[str, Any]) -> bool:
    """Decide when every shard has answered."""
    org, limits, answers = work.org(name), limits_of(work, name), survey["answers"]
    day = work.now // DAY_MS
    if org.asked_day != day:
        org.asked_day, org.asked = day, 0
    total, kept = (sum(answer[member] for answer in answers.values()) for member in ("records", "kept"))
    allowed = None if limits is None else limits.most_asked(kept, today=org.asked, everyone=_everyone(job))
    if allowed is None or total <= allowed:
        org.asked += total
        return True
    if not all(answer["exact"] for answer in answers.values()):
        _ask(work, name, job, -1)
        return False
    found = {p: {m: answer[m] for m in ("position", "records", "targets", "digest")} for p, answer in answers.items()}
    found = {p: plan for p, plan in found.items() if plan["records"]}
    same = _sets(found) == _sets(survey["plans"])
    if survey["approved"] and same:
        return True
    if survey["approved"]:
        plans.voided(work, job)
    survey |= {"approved": False, "plans": survey["plans"] if same else found, "answers": {}}
    plans.show(name, job, survey["plans"], through=job.body["through"])
    plans.brake(
        work,
        job,
        f"it would erase {total} records, and {allowed} may go without a person: approve its plan, or cancel it",
    )
    return False


def _sets(found: Mapping[str, plans.Plan]) -> dict[str, tuple[int, str]]:
    return {partition: (plan["records"], plan["digest"]) for partition, plan in found.items()}


def approved(work: Work, name: str, other: Job) -> None:
    """Count again what was approved: only the same may go."""
    other.body["survey"]["approved"] = True
    _ask(work, name, other, -1)
    work.to(other, State.PLANNING, text="an approval is held against what there is now")


def drop(job: Job) -> None:
    """Forget what was counted: the job goes on, or ends."""
    job.body.pop("survey", None)
