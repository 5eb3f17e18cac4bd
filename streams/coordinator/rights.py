"""What all requests of people have in common: the law that they are made under, and whether it is sure who asks.

Used by `streams.coordinator.erasures`, `rectifications` and `exports`;
`tests/unit/streams/coordinator/test_decisions.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.jobs import State
from streams.coordinator import deadlines
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job
from streams.coordinator.work import Work


def deadline_of(work: Work, job: Job) -> int:
    """Return by when a request is due under the regime that its body names, ms since the epoch. Raises No."""
    assert work.rules is not None
    regime, own = job.body["regime"], work.rules.regimes
    known = deadlines.regimes(own)
    if regime not in known:
        raise No("bad_body", f"regime: must be one of {', '.join(known)}")
    return deadlines.deadline(regime, job.asked_at, own)


def waits_for_identity(work: Work, job: Job, body: Mapping[str, Any]) -> bool:
    """Let a job wait where the rules want to be sure of who asks and nobody is; return whether it does."""
    assert work.rules is not None
    if not work.rules.verify_identity or body["identity"] == "verified":
        return False
    work.to(job, State.VERIFYING_IDENTITY, text="somebody must be sure of who asks, and verify or deny it")
    return True


def waits_for_approval(work: Work, job: Job, named: int) -> bool:
    """Let a job that names so many people wait where the rules want a second person for it; return whether it does."""
    assert work.rules is not None
    most = work.rules.approval_over
    if not 0 < most < named:
        return False
    work.to(job, State.AWAITING_APPROVAL, text=f"it names more than {most} subjects: somebody else must approve it")
    return True
