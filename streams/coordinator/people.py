"""Which kind of job goes on how, when a person has decided about it: it is sure who asks, it is approved, it ends.

Called by `streams.coordinator.decisions` and `moves`; their tests say what it promises.
"""

from __future__ import annotations

from streams.coordinator import erasures, exports, rectifications, restrictions
from streams.coordinator.rows import Job
from streams.coordinator.work import Work


def identified(work: Work, name: str, job: Job) -> None:
    """Go on with a person's request when it is sure who asks."""
    if job.kind == exports.EXPORT:
        exports.identified(work, name, job)
    elif job.kind == rectifications.RECTIFY:
        rectifications.identified(work, name, job)
    elif job.kind == restrictions.RESTRICT:
        restrictions.identified(work, name, job)
    else:
        erasures.identified(work, name, job)


def approved(work: Work, name: str, job: Job) -> None:
    """Go on with a job that somebody has approved."""
    if job.kind == rectifications.RECTIFY:
        rectifications.approved(work, name, job)
    elif job.kind == restrictions.RESTRICT:
        restrictions.approved(work, name, job)
    else:
        erasures.approved(work, name, job)


def cancelled(work: Work, name: str, job: Job) -> None:
    """Let go of what a job that will never be carried out has kept."""
    if job.kind == exports.EXPORT:
        exports.cancelled(work, name, job)
    elif job.kind == rectifications.RECTIFY:
        job.body = {}
    elif job.kind == restrictions.RESTRICT:
        restrictions.cancelled(work, name, job)
    else:
        erasures.cancelled(work, name, job)
