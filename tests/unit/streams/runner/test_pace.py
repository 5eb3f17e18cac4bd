from __future__ import annotations

import pytest

from streams.runner.pace import LEAST, Pace


def test_it_begins_with_a_batch_and_takes_twice_as_many_after_each_full_and_quick_one_up_to_the_limit() -> None:
    pace = Pace(limit=5 * LEAST, timeout_s=10)
    seen = [pace.most]
    for _ in range(4):
        pace.took(pace.most, 2.5)
        seen.append(pace.most)

    assert seen == [LEAST, 2 * LEAST, 4 * LEAST, 5 * LEAST, 5 * LEAST]


def test_one_that_was_not_full_says_nothing_of_larger_ones() -> None:
    pace = Pace(limit=200_000, timeout_s=10)

    pace.took(LEAST - 1, 0.1)

    assert pace.most == LEAST


@pytest.mark.parametrize(("cost_s", "fixed_s"), [(1e-5, 0.1), (1e-4, 0.1), (1e-3, 0.1), (1e-5, 2.6)])
def test_whatever_a_record_and_a_commit_take_no_transaction_times_out_and_they_grow_as_far_as_they_may(
    cost_s: float, fixed_s: float
) -> None:
    pace, sizes = Pace(limit=200_000, timeout_s=10), []
    for _ in range(20):
        sizes.append(pace.most)
        seconds = fixed_s + pace.most * cost_s
        assert seconds < 10
        pace.took(pace.most, seconds)

    assert sizes[-1] > 0.8 * min(200_000, max(LEAST, (5 - fixed_s) / cost_s))


def test_after_a_slow_one_as_many_are_taken_as_have_time_and_never_fewer_than_a_batch() -> None:
    pace = Pace(limit=200_000, timeout_s=10)
    for _ in range(9):
        pace.took(pace.most, 0.1)

    pace.took(pace.most, 20.0)
    assert pace.most == 50_000
    pace.took(1, 20.0)  # something else than its records
    assert pace.most == LEAST


def test_a_small_limit_is_kept_from_the_beginning() -> None:
    pace = Pace(limit=10, timeout_s=10)
    pace.took(10, 0.0)

    assert pace.most == 10
