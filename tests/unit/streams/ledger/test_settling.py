"""What is promised of orgs that were opened lately: nothing goes before all that was said before has come."""

from __future__ import annotations

import pytest

from streams.ledger.settling import AT_ONCE, ROUNDS
from streams.ledger.stats import stats
from tests.support.ledger_log import SOURCE, LedgerLog, category, day, group, rules

ACTIVE = category("messages", clock="last_activity")


def opened_on(number: int, *, sources: int = 1) -> LedgerLog:
    """A partition on day `number` whose org was just opened, with a record of day 0 that is kept for 90 days."""
    log = LedgerLog()
    log.rules(rules(ACTIVE, sources={SOURCE: sources} if sources else {}))
    for partition in range(sources):
        log.watermark(number, partition=partition)
    log.tick(number)
    log.frame(group(["a"], day(0)))
    log.open(settled=False)
    return log


def test_a_touch_that_comes_behind_the_opening_keeps_its_record() -> None:
    log = opened_on(100)
    for _ in range(ROUNDS - 1):
        log.watermark(100)
    log.frame(group(["a"], day(50), kind="touched"))
    for _ in range(ROUNDS):
        log.watermark(100)

    assert log.erased() == []
    log.to_day(141)
    assert log.erased() == ["a"]


def test_what_is_due_goes_when_every_source_was_heard_often_enough() -> None:
    log = opened_on(100, sources=2)
    for _ in range(ROUNDS):
        log.watermark(100, partition=0)
        log.tick(100.5)
    assert log.erased() == []

    for _ in range(ROUNDS - 1):
        log.watermark(100, partition=0)
        log.watermark(100, partition=1)
    assert log.erased() == []

    log.watermark(100, partition=1)
    log.watermark(100, partition=0)
    assert log.erased() == ["a"]


def test_a_round_that_had_begun_before_the_opening_does_not_count() -> None:
    log = opened_on(100, sources=2)
    log.watermark(100, partition=0)
    log.open("globex", settled=False)
    log.frame(group(["g"], day(0), org="globex"))
    for _ in range(ROUNDS):
        log.watermark(100, partition=1)
        log.watermark(100, partition=0)
    assert log.erased() == ["a"]

    log.watermark(100, partition=1)
    log.watermark(100, partition=0)
    assert log.erased() == ["a", "g"]


def test_a_watermark_behind_what_is_known_is_no_word_of_its_source() -> None:
    log = opened_on(100)
    for _ in range(2 * ROUNDS):
        log.watermark(99)
    assert log.erased() == []

    for _ in range(ROUNDS):
        log.watermark(100)
    assert log.erased() == ["a"]


def test_without_sources_nothing_is_waited_for() -> None:
    log = opened_on(100, sources=0)

    assert log.erased() == ["a"]


def test_an_org_that_was_opened_before_there_were_rules_waits_for_the_sources_that_they_name() -> None:
    log = LedgerLog()
    log.open(settled=False)
    log.frame(group(["a"], day(0)))
    log.rules(rules(ACTIVE))
    log.to_day(100)
    assert log.erased() == []

    for _ in range(ROUNDS):
        log.watermark(100.5)
    assert log.erased() == ["a"]


def test_rules_without_sources_let_all_go_that_waited_for_some() -> None:
    log = opened_on(100)
    assert log.erased() == []

    log.rules(rules(ACTIVE, version=2, sources={}))

    assert log.erased() == ["a"]


def test_what_a_request_asks_for_does_not_wait() -> None:
    log = opened_on(10)
    log.erase("all")

    assert log.erased() == ["a"]


def test_facts_that_are_told_again_do_not_make_an_org_wait_again() -> None:
    log = opened_on(100)
    log.open(version=2, settled=False)
    for _ in range(ROUNDS):
        log.watermark(100)
    assert log.erased() == ["a"]

    log.open(version=3, settled=False)
    log.frame(group(["b"], day(1)))
    log.tick(101)
    assert log.erased() == ["a", "b"]


@pytest.mark.parametrize(("count", "left"), [(AT_ONCE, 0), (2 * AT_ONCE, 1)])
def test_many_orgs_settle_over_several_entries(count: int, left: int) -> None:
    log = opened_on(100)  # with an org of its own
    names = [f"org-{n}" for n in range(count)]
    for name in names:
        log.open(name, settled=False)
    log.settle()  # the last two entries of which settle some
    assert stats(log.store).orgs_settling == left
    log.watermark(100)

    assert stats(log.store).orgs_settling == 0
    log.frame(*(group([name], day(0), org=name) for name in names))
    assert log.erased() == sorted(["a", *names])
