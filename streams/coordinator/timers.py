"""Time: ticks that are believed, and what is due by then.

A grace ends only when all requests of that time have been read: a coordinator that was away for days meets ticks and
requests in no given order, and a `cancel` that came in time must win. So, when a grace is over, it writes a marker into
its own partition of `requests` and goes on when it reads that: the broker's append time of whatever is read there says
how far it is. Nothing that an outsider writes can bring that forward, since brokers stamp that topic.

Called by `Coordinator.apply`; `tests/unit/streams/coordinator/test_time.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from schemas.jobs import STANDING, State
from streams.coordinator import erasures, exports, holds, keys
from streams.coordinator.work import EXPIRE, FORGET, GRACE, HOLD_ENDS, KEPT_MS, LATE, Work
from streams.ticks import is_believed

LIMIT: Final = 500
"""Timers that one entry looks at; what is left is looked at with the next tick."""


def tick(work: Work, record: Mapping[str, Any]) -> None:
    """Take a tick from the clock, unless it leaps, and do what is due."""
    now, clock, entry = record["now"], work.clock, work.entry
    if now > clock.tick:
        if is_believed(now, last=clock.tick, approved=record["approved"], log_ms=entry.log_ms, rules=work.rules):
            clock.tick = now
        else:
            clock.ignored += 1
    fire(work)


def read_requests(work: Work) -> None:
    """Note how far `requests` has been read; called for each of its entries."""
    if not work.fast:
        work.clock.read = max(work.clock.read, work.entry.log_ms)


def marker(work: Work, record: Mapping[str, Any]) -> None:
    """Our own marker, or a forged one, which says no more than any other entry."""
    clock = work.clock
    if record["number"] != clock.asked or clock.seen == clock.asked:
        return
    clock.seen = clock.asked
    if work.fast:
        clock.read = max(clock.read, clock.asked_at)
    fire(work, ask=False)  # should it have come too early by its broker's clock, the next tick asks again


def fire(work: Work, *, ask: bool = True) -> None:
    """Do what is due; `ask` for a marker where it is not known yet that all requests have been read."""
    for key in [key for key, _ in islice(work.store.scan(keys.TIMER), LIMIT)]:
        at, what, name, item = keys.read_timer(key)
        if at > work.reached:
            return
        if what == GRACE and at > work.clock.read:
            if ask:
                _ask_for_marker(work)
            continue
        work.store.delete(key)
        _DUE[what](work, name, item)


def _ask_for_marker(work: Work) -> None:
    clock = work.clock
    if clock.asked > clock.seen:  # one is on its way
        return
    clock.asked += 1
    clock.asked_at = work.reached
    work.to_self(work.context.topics.requests, "Step", {"number": clock.asked}, sequenced=False)


def _late(work: Work, name: str, request_id: str) -> None:
    job = work.job(name, request_id)
    if job is not None and not job.met and not job.overdue:
        job.overdue = True
        work.stats().count_overdue(job.kind, 1)


def _forget(work: Work, name: str, request_id: str) -> None:
    """Forget a job that is long over: a request that comes again by then is not answered any more."""
    job = work.job(name, request_id)
    if job is None or not job.ended or (job.kind in STANDING and job.state not in (State.REFUSED, State.CANCELLED)):
        return
    if work.entry.log_ms < job.expires_at + KEPT_MS:  # engine time runs fast: look again a while later
        work.store.put(keys.timer(work.reached + KEPT_MS, FORGET, name, request_id), b"")
        return
    work.stats().count(job.kind, job.state, -1)
    work.drop_answers(name, job)
    work.drop(keys.of(keys.JOB, name, request_id))


_DUE: Final[Mapping[str, Callable[[Work, str, str], None]]] = {
    GRACE: erasures.grace_over,
    LATE: _late,
    HOLD_ENDS: holds.end,
    FORGET: _forget,
    EXPIRE: exports.expire,
}
"""What a timer is for, to who does it."""
