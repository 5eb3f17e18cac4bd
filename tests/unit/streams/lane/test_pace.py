"""What is promised of a checkpoint's pace: who waits is not kept waiting, and what nobody sees shares a transaction."""

from __future__ import annotations

from dataclasses import replace

from streams.lane.pace import Gathered, ends, rests_until
from streams.lane.spec import CheckpointLimits

LIMITS = CheckpointLimits()
UNSEEN = Gathered(began=100.0, idle=False, sends=False, awaited=False)
SEEN = replace(UNSEEN, sends=True)
AWAITED = replace(SEEN, awaited=True)
IDLE = replace(UNSEEN, idle=True)


def test_what_is_awaited_is_not_kept_open_for_more() -> None:
    assert rests_until(LIMITS, AWAITED, last=100.0, now=100.0) <= 100.0


def test_what_sends_keeps_its_distance_from_the_one_before_and_no_more() -> None:
    assert rests_until(LIMITS, SEEN, last=99.95, now=100.0) == 99.95 + LIMITS.pace_s
    assert ends(LIMITS, SEEN) == 100.0 + LIMITS.linger_s


def test_what_nobody_sees_gathers_for_longer_and_longest_where_it_is_idle() -> None:
    assert rests_until(LIMITS, UNSEEN, last=100.0, now=100.4) == ends(LIMITS, UNSEEN) == 100.0 + LIMITS.rest_s
    assert rests_until(LIMITS, IDLE, last=100.0, now=100.4) == ends(LIMITS, IDLE) == 100.0 + LIMITS.idle_s


def test_what_nobody_sees_is_closed_a_while_after_its_last_entry() -> None:
    assert rests_until(LIMITS, UNSEEN, last=100.0, now=100.1) == 100.1 + LIMITS.still_s


def test_what_comes_to_send_something_is_closed_sooner() -> None:
    assert ends(LIMITS, replace(IDLE, sends=True)) < ends(LIMITS, IDLE)


def test_a_long_linger_is_kept_where_nothing_is_sent_either() -> None:
    limits = replace(LIMITS, linger_s=5.0)

    assert ends(limits, IDLE) == ends(limits, UNSEEN) == 105.0
