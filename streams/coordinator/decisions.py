"""What a person decides about a person's request: who asks is who they say, it is denied, it takes longer.

    verify   verifying_identity ─▶ awaiting_approval | planning
    deny     verifying_identity | awaiting_approval ─▶ refused, for one of the Data Rights Protocol's reasons
    extend   a later deadline, once, before the first has passed (GDPR Art. 12(3))

Each is itself a job that is done at once. Called by `streams.coordinator.requests`;
`tests/unit/streams/coordinator/test_decisions.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

from schemas.jobs import REASONS, State
from streams.coordinator import deadlines, people
from streams.coordinator.moves import done, let_go, other_of
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import Work

OPEN: Final = frozenset({State.VERIFYING_IDENTITY, State.AWAITING_APPROVAL})
"""Where nothing has been done yet and a person is waited for."""


def verify(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Say that who asks is who they say; whoever signs this vouches for it. Raises No."""
    other = other_of(work, name, job)
    if other.state != State.VERIFYING_IDENTITY:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: it waits for nobody's identity")
    other.detail |= {"identity": "verified", "verified_by": job.requested_by}
    people.identified(work, name, other)
    done(work, job, other)


def deny(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Refuse another's request for a reason of the closed list. Raises No."""
    other, reason = other_of(work, name, job), job.body["reason"]
    if other.state not in OPEN:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: only what waits for a person can be denied")
    other.detail["denied_by"] = job.requested_by
    let_go(work, name, other)
    work.to(other, State.REFUSED, reason=reason, text=f"{REASONS[reason]} By request {job.request_id}.")
    done(work, job, other)


def extend(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Move another's deadline, once, as far as its regime allows; it is recorded with its reason. Raises No."""
    assert work.rules is not None
    other = other_of(work, name, job)
    if not other.due_until:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: it has no deadline that still counts")
    if "extension" in other.detail:
        raise No("too_late", f"the deadline of job {other.request_id} was extended before; that may be done once")
    if other.overdue or other.deadline <= work.now:
        raise No(
            "too_late", f"the deadline of job {other.request_id} has passed; it can only be done as soon as it can"
        )
    regime = other.detail.get("regime", "gdpr")
    until = deadlines.extended(regime, other.deadline, work.rules.regimes)
    if until == other.deadline:
        raise No("bad_body", f"job: its regime {regime!r} allows no extension")
    other.detail["extension"] = {
        "from": other.deadline,
        "reason": job.body["reason"],
        "by": job.requested_by,
        "at": work.now,
        "request": job.request_id,
    }
    work.move_deadline(name, other, until)
    done(work, job, other)
