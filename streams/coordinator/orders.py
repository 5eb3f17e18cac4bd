"""What ledgers answer to orders about records that stay, and where a job of such orders stands.

    planning ─▶ running ─▶ awaiting_acks ─▶ completed | completed_with_exceptions        OrderRecords · ordered

Used by `streams.coordinator.rectifications` and `restrictions`;
`tests/unit/streams/coordinator/test_rectifications.py` says what it promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from schemas.jobs import State
from streams.coordinator.counted import a_count
from streams.coordinator.erasures import advance
from streams.coordinator.rows import Job
from streams.coordinator.work import Work

COUNTS: Final = ("due", "done", "changed", "failed", "hold", "going", "cannot")
WORDS: Final[Mapping[str, str]] = {
    "hold": "under a legal hold and stay as they are",
    "going": "on their way to be erased",
    "cannot": "where it cannot be done",
    "failed": "refused by their store",
}
"""Why a record was left as it is."""


def read_answer(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an `ordered` answer that are used. Raises ValueError, KeyError, TypeError."""
    targets = {str(name): {what: a_count(said[what]) for what in COUNTS} for name, said in found["targets"].items()}
    return {"listed": bool(found["listed"]), "over": bool(found["over"]), "targets": targets}


def note(work: Work, name: str, job: Job, record: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Keep a shard's answer if it is its newest; return whether it is."""
    partition = record["partition"]
    before = work.answer(name, job, partition)
    if before is not None and before["version"] >= record["version"]:
        return False
    parts = {
        target: {what: said[what] for what in ("due", "done", "changed", "failed")}
        | {"withheld": said["hold"] + said["going"] + said["cannot"]}
        for target, said in body["targets"].items()
    }
    why = {target: {what: said[what] for what in WORDS if said[what]} for target, said in body["targets"].items()}
    state = {"listed": body["listed"], "over": body["over"], "version": record["version"]}
    work.put_answer(name, job, partition, {**state, "targets": parts, "why": why})
    return True


def all_over(work: Work, name: str, job: Job) -> bool:
    """Whether every shard has nothing left to do for a job."""
    answers = [answer for _, answer in work.answers(name, job)]
    return len(answers) == len(job.told) and all(answer["over"] for answer in answers)


def follow(work: Work, name: str, job: Job, *, ready: bool = True) -> None:
    """Work out from all answers where the job stands; it does not end before something else is `ready`."""
    answers = [answer for _, answer in work.answers(name, job)]
    left: dict[str, Counter[str]] = {}
    for answer in answers:
        for target, said in answer["why"].items():
            left.setdefault(target, Counter()).update(said)
    left_out = {target: dict(sorted(said.items())) for target, said in sorted(left.items()) if said}
    job.detail |= {"answered": sum(answer["over"] for answer in answers), "left": left_out}
    if len(answers) < len(job.told):
        return
    if not all(answer["listed"] for answer in answers):
        wanted = State.RUNNING
    elif not ready or not all(answer["over"] for answer in answers):
        wanted = State.AWAITING_ACKS
    else:
        wanted = State.COMPLETED_WITH_EXCEPTIONS if left_out else State.COMPLETED
    advance(work, job, wanted, _words(left) if wanted == State.COMPLETED_WITH_EXCEPTIONS else "")


def _words(left: Mapping[str, Counter[str]]) -> str:
    total = sum(left.values(), Counter[str]())
    return "; ".join(f"{total[why]} records are {words}" for why, words in WORDS.items() if total[why]) + ": see `left`"
