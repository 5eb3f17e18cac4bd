"""What one principal may ask for, by a clock that is moved by hand."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.api.limits import MAX_BULK, MAX_STREAMS, Limits
from ops.api.problems import Problem


def taken(limits: Limits, principal: str, now_s: float) -> bool:
    try:
        limits.take(principal, now_s)
    except Problem:
        return False
    return True


def test_a_burst_and_then_the_rate() -> None:
    limits = Limits(60)

    at_once = sum(taken(limits, "a", 0) for _ in range(100))
    later = sum(taken(limits, "a", 1 + s) for s in range(10))

    assert (at_once, later) == (6, 10)


def test_who_asks_too_much_is_told_when_to_come_back_and_is_taken_then() -> None:
    limits = Limits(60)
    while taken(limits, "a", 0):
        pass

    with pytest.raises(Problem) as refused:
        limits.take("a", 0)

    wait = int(refused.value.headers["Retry-After"])
    assert taken(limits, "a", wait)
    assert taken(limits, "b", 0)


@settings(deadline=None)
@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.integers(1, 600))
def test_no_stretch_of_time_has_more_calls_than_the_rate_and_a_burst(pauses: list[float], rate: int) -> None:
    limits, now, count = Limits(rate), 0.0, 0
    for pause in pauses:
        now += pause
        count += taken(limits, "a", now)

    assert count <= limits.burst + now * rate / 60 + 1e-6


def test_the_least_recent_of_very_many_is_forgotten() -> None:
    limits = Limits(60)
    for number in range(10_001):
        limits.take(str(number), 0)

    assert len(limits._buckets) == 10_000
    assert "0" not in limits._buckets


def test_streams_are_counted_and_given_back() -> None:
    limits = Limits(60)

    def nested(depth: int) -> None:
        with limits.stream("a"):
            nested(depth + 1)

    with pytest.raises(Problem):
        nested(0)
    assert limits.streams == 0
    with limits.stream("a"):
        assert limits.streams == 1
    assert limits._streams == {}
    assert MAX_STREAMS == 10


def test_files_are_taken_one_of_each_and_some_in_all() -> None:
    limits = Limits(60)

    with ExitStack() as taken:
        for number in range(MAX_BULK):
            taken.enter_context(limits.bulk(str(number)))
        for principal in ("0", "another"):
            with pytest.raises(Problem), limits.bulk(principal):
                pass
    with limits.bulk("0"):
        pass
