"""Moves of another job of the same org: cancel, restore, pause, resume, approve.

Each is itself a job. It is done at once, or, where a deletion has hidden something, once all of it is visible again.

What a person decides about a person's request is in `decisions`. Called by `streams.coordinator.requests`;
`tests/unit/streams/coordinator/test_moves.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

from schemas.jobs import BRAKE, State, may_move
from streams.coordinator import brakes, erasures, hiding, people, plans, surveys
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import Work

HIDDEN: Final = (State.GRACE, State.PAUSED, State.BRAKED)
"""States of a deletion in which what it concerns is hidden."""
UNSENT: Final = (State.REQUESTED, State.AWAITING_APPROVAL, State.REFUSED, State.CANCELLED)
"""States of one that has erased nothing and will not, or not yet."""


def cancel(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Cancel a job that has sent nothing yet, or an export, which changes nothing. Raises No."""
    other = other_of(work, name, job)
    if other.kind == BRAKE:
        raise No("wrong_state", f"nobody has asked for job {other.request_id}: set the policy right, and it lets go")
    if not may_move(other.state, State.CANCELLED, other.kind):
        raise No("wrong_state", f"job {other.request_id} is {other.state}: from there it can only be seen to its end")
    _call_off(work, name, job, other)


def restore(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Bring back an org whose deletion still has its grace. Raises No."""
    other = other_of(work, name, job)
    if other.kind == "delete" and other.state not in (*HIDDEN, *UNSENT):
        raise No(
            "grace_over", f"job {other.request_id} is {other.state}: its grace is over, what it erased stays erased"
        )
    if other.kind != "delete" or other.state not in HIDDEN:
        raise No("wrong_state", f"job {other.request_id} is a {other.kind} and {other.state}: it has hidden nothing")
    _call_off(work, name, job, other)


def _call_off(work: Work, name: str, job: Job, other: Job) -> None:
    if other.state == State.GRACE:
        erasures.paused(work, name, other)  # its timer goes as well
    waits = hiding.unhide(work, name, other, job)
    let_go(work, name, other)
    work.to(other, State.CANCELLED, text=f"by request {job.request_id}")
    if waits:
        job.detail |= {"job": other.request_id, "state": str(other.state)}
        work.to(job, State.PLANNING)
    else:
        done(work, job, other)


def pause(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Stop the count of a grace. Raises No."""
    other = other_of(work, name, job)
    if other.state != State.GRACE:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: only a grace can be paused")
    erasures.paused(work, name, other)
    done(work, job, other)


def resume(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Go on counting a grace that was paused. Raises No."""
    other = other_of(work, name, job)
    if other.state != State.PAUSED:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: only what is paused can be resumed")
    erasures.resumed(work, name, other)
    done(work, job, other)


def approve(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Let a job go on that waits for a second person; who that is, whoever signs vouches for. Raises No."""
    other = other_of(work, name, job)
    if other.state == State.BRAKED:
        plans.check_approval(work, name, job, other)
        (brakes if other.kind == BRAKE else surveys).approved(work, name, other)
        done(work, job, other)
        return
    if other.state != State.AWAITING_APPROVAL:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: it waits for no approval")
    if not job.requested_by or not other.requested_by or job.requested_by == other.requested_by:
        raise No("own_approval", "requested_by: must name somebody else than who asked, on both requests")
    other.detail["approved_by"] = job.requested_by
    people.approved(work, name, other)
    done(work, job, other)


def let_go(work: Work, name: str, job: Job) -> None:
    """Let go of what a job that will never be carried out has kept."""
    people.cancelled(work, name, job)


def other_of(work: Work, name: str, job: Job) -> Job:
    """Return the job that a request is about. Raises No."""
    request_id = job.body["job"]
    other = work.job(name, request_id) if request_id != job.request_id else None
    if other is None:
        raise No("unknown_job", f"the org has no job {request_id!r}")
    return other


def done(work: Work, job: Job, other: Job) -> None:
    """End a request that has moved another job."""
    job.detail = {"job": other.request_id, "state": str(other.state)}
    work.to(job, State.COMPLETED)
