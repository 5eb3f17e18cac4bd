"""Moves of another job of the same org: cancel, pause, resume, approve. Each is itself a job that is done at once.

Called by `streams.coordinator.requests`; `tests/unit/streams/coordinator/test_moves.py` says what it promises.
"""

from __future__ import annotations

from schemas.jobs import State, may_move
from streams.coordinator import erasures, exports
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import Work


def cancel(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Cancel a job that has sent nothing yet, or an export, which changes nothing. Raises No."""
    other = _other(work, name, job)
    if not may_move(other.state, State.CANCELLED, other.kind):
        raise No("wrong_state", f"job {other.request_id} is {other.state}: from there it can only be seen to its end")
    if other.state == State.GRACE:
        erasures.paused(work, name, other)  # its timer goes as well
    if other.kind == exports.EXPORT:
        exports.cancelled(work, name, other)
    else:
        erasures.cancelled(work, name, other)
    work.to(other, State.CANCELLED, text=f"by request {job.request_id}")
    _done(work, job, other)


def pause(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Stop the count of a grace. Raises No."""
    other = _other(work, name, job)
    if other.state != State.GRACE:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: only a grace can be paused")
    erasures.paused(work, name, other)
    _done(work, job, other)


def resume(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Go on counting a grace that was paused. Raises No."""
    other = _other(work, name, job)
    if other.state != State.PAUSED:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: only what is paused can be resumed")
    erasures.resumed(work, name, other)
    _done(work, job, other)


def approve(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Let a job go on that waits for a second person; who that is, whoever signs vouches for. Raises No."""
    other = _other(work, name, job)
    if other.state != State.AWAITING_APPROVAL:
        raise No("wrong_state", f"job {other.request_id} is {other.state}: it waits for no approval")
    if not job.requested_by or not other.requested_by or job.requested_by == other.requested_by:
        raise No("own_approval", "requested_by: must name somebody else than who asked, on both requests")
    other.detail["approved_by"] = job.requested_by
    erasures.approved(work, name, other)
    _done(work, job, other)


def _other(work: Work, name: str, job: Job) -> Job:
    request_id = job.body["job"]
    other = work.job(name, request_id) if request_id != job.request_id else None
    if other is None:
        raise No("unknown_job", f"the org has no job {request_id!r}")
    return other


def _done(work: Work, job: Job, other: Job) -> None:
    job.detail = {"job": other.request_id, "state": str(other.state)}
    work.to(job, State.COMPLETED)
