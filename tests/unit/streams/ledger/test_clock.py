"""What is promised of ledger time: unknown until all is known, never back, never ahead of a source."""

from __future__ import annotations

from schemas.codec import full_codec
from streams.ledger.ledger import idle_entries
from tests.support.ledger_log import DAY_MS, SOURCE, LedgerLog, category, day, group, ready, rules


def waiting() -> LedgerLog:
    """A partition whose clock is not a test's, with a record due on day 91."""
    log = LedgerLog()
    log.log_ms = 500 * DAY_MS
    log.rules(rules(category("messages"), test_clock=False, max_leap_days=2, sources={SOURCE: 2}))
    log.open()
    log.frame(group(["a"], day(0)))
    return log


def test_nothing_is_due_until_tick_rules_and_every_watermark_are_there() -> None:
    log = waiting()

    early = log.tick(95) + log.watermark(95, partition=0)
    known = log.watermark(95, partition=1)

    assert log.erased(early) == []
    assert log.erased(known) == ["a"]


def test_a_silent_source_holds_time_back() -> None:
    log = waiting()
    log.watermark(90, partition=0)
    held = log.watermark(200, partition=1) + log.tick(200)

    let_go = log.watermark(91, partition=0)

    assert log.erased(held) == []
    assert log.erased(let_go) == ["a"]


def test_ticks_and_watermarks_say_that_time_goes_on_and_nothing_else_does() -> None:
    codec = full_codec()
    is_idle = idle_entries(codec)

    assert is_idle(codec.encode("Tick", {"now": DAY_MS, "approved": False}))
    assert is_idle(codec.encode("Watermark", {"marks": []}))
    assert not is_idle(codec.encode("Step", {"number": 1}))
    assert not is_idle(b"none of ours")


def test_time_stands_back_by_the_lateness() -> None:
    log = ready(lateness_s=3600)
    log.frame(group(["a"], day(0)))

    early = log.watermark(92) + log.tick(91 + 59 / 1440)
    due = log.tick(91 + 61 / 1440)

    assert log.erased(early) == []
    assert log.erased(due) == ["a"]


def test_a_tick_that_leaps_is_ignored_unless_a_person_approved_it() -> None:
    log = waiting()
    for partition in (0, 1):
        log.watermark(300, partition=partition)
    log.tick(80)

    leap = log.tick(83)
    approved = log.tick(95, approved=True)

    assert log.erased(leap) == []
    assert log.erased(approved) == ["a"]


def test_a_tick_ahead_of_the_brokers_time_is_ignored() -> None:
    log = waiting()
    for partition in (0, 1):
        log.watermark(300, partition=partition)
    log.tick(90)
    log.log_ms = 90 * DAY_MS

    ahead = log.tick(91.5)
    log.log_ms = int(91.5 * DAY_MS)
    right = log.tick(91.5)

    assert log.erased(ahead) == []
    assert log.erased(right) == ["a"]


def test_time_never_goes_back() -> None:
    log = ready()
    log.to_day(95)
    log.to_day(10)

    sends = log.frame(group(["a"], day(0)))

    assert log.erased(sends) == ["a"]


def test_a_day_may_jump_over_years() -> None:
    log = ready(category("messages", "12 months"))
    for number in range(0, 900, 100):
        log.frame(group([f"r{number}"], day(number)))

    sends = log.to_day(4000)

    assert log.erased(sends) == sorted(f"r{number}" for number in range(0, 900, 100))
