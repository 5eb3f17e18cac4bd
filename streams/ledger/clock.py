"""Ledger time: the last tick, held back by the slowest source, so that a backlog never makes live data due.

Called by `Ledger` for `Tick`, `Watermark` and `Rules`; `tests/unit/streams/ledger/test_clock.py` says what it promises.
"""

from __future__ import annotations

from typing import Any, Final

from streams.ledger import packs, settling
from streams.ledger.state import Work
from streams.ticks import is_believed

DAY_MS: Final = 86_400_000


def tick(work: Work, record: dict[str, Any], log_ms: int) -> None:
    """Raise the last tick, unless it leaps further than the rules let it, and no person approved that."""
    now, clock, rules = record["now"], work.clock, work.rules
    if now <= clock.tick:
        return
    if not is_believed(now, last=clock.tick, approved=record["approved"], log_ms=log_ms, rules=rules):
        clock.ticks_ignored += 1
        return
    clock.tick = now
    advance(work)
    settling.go_on(work)


def watermark(work: Work, record: dict[str, Any]) -> None:
    """Raise how far each source partition is. One that is behind what is known comes from a gateway that lost it."""
    row, heard = settling.watermarks(work), []
    for mark in record["marks"]:
        partitions = row.through.setdefault(mark["topic"], {})
        name = str(mark["partition"])
        if mark["through"] >= partitions.get(name, -1):
            partitions[name] = mark["through"]
            heard.append((mark["topic"], mark["partition"]))
    settling.hear(work, row, heard)
    advance(work)
    settling.go_on(work)


def advance(work: Work) -> None:
    """Compute ledger time; it is unknown until a tick, the rules and every source's watermark are there."""
    rules, clock = work.rules, work.clock
    if rules is None or clock.tick < 0:
        return
    through = settling.watermarks(work).through
    slowest = clock.tick
    for topic, partitions in rules.sources.items():
        known = through.get(topic, {})
        for partition in range(partitions):
            mark = known.get(str(partition), -1)
            if mark < 0:
                return
            slowest = min(slowest, mark)
    now = slowest - rules.lateness_s * 1000
    if now <= clock.now:
        return
    clock.now = now
    if now // DAY_MS > clock.day:
        clock.day = now // DAY_MS
        clock.resend = ""
        clock.reorder = "" if clock.orders else None
        packs.all_wanted(work)
