from __future__ import annotations

import pytest

from ops.bench.contender import Measured
from ops.bench.targets.pair import in_turns, section_of_pair


def _took(seconds: float) -> Measured:
    return Measured(records=100, seconds=seconds, cpu_seconds=seconds, peak_rss_bytes=1, peaks={"role": 7})


def test_both_run_in_turns_and_the_first_time_of_each_is_not_counted():
    order: list[str] = []

    def way(name: str):
        def run(number: int) -> Measured:
            order.append(f"{name}{number}")
            return _took(1.0 + number)

        return run

    found = in_turns({"a": way("a"), "b": way("b")}, rounds=2)

    assert order == ["b0", "a0", "a1", "b1", "b2", "a2"]
    assert [m.seconds for m in found["a"]] == [2.0, 3.0]


@pytest.mark.parametrize(("seconds", "held"), [(1.25, True), (1.26, False)])
def test_the_bar_is_eight_tenths_of_the_bare_ways_speed(seconds, held):
    found = {"ours": [_took(seconds)], "bare": [_took(1.0)]}

    section = section_of_pair(
        found, title="A pair", bar_name="pair", unit="rows/s", subject="ours", bare="bare", cores=2
    )

    assert section.bars[0].held is held
    assert section.peaks == {"role": 7}
    assert "| rows/s |" in section.table


def test_ratios_are_of_rounds_that_ran_side_by_side():
    found = {"ours": [_took(2.0), _took(20.0), _took(3.0)], "bare": [_took(1.0), _took(10.0), _took(1.0)]}

    section = section_of_pair(
        found, title="A pair", bar_name="pair", unit="rows/s", subject="ours", bare="bare", cores=2
    )

    assert section.bars[0].ratio == pytest.approx(0.5)
    assert "| CPU seconds a million | 30000.00 | 10000.00 | 2.00 |" in section.table


def test_the_last_row_says_what_is_out_of_reach_however_the_work_is_spread():
    ours = Measured(
        records=100,
        seconds=4.0,
        cpu_seconds=1.0,
        store_cpu_seconds=0.5,
        broker_cpu_seconds=0.5,
        peak_rss_bytes=1,
    )
    found = {"ours": [ours], "bare": [_took(0.5)]}

    section = section_of_pair(
        found, title="A pair", bar_name="pair", unit="rows/s", subject="ours", bare="bare", cores=2
    )

    # 2 s of CPU on two cores are 100 rows/s; the bare way did 200.
    assert "| rows/s at most, 2 cores always busy | 100 | 400 | 0.50 |" in section.table


def test_what_else_ran_beside_the_two_is_held_against_the_bare_way_too():
    found = {"ours": [_took(4.0)], "bare": [_took(1.0)], "least": [_took(2.0)]}

    section = section_of_pair(
        found, title="A pair", bar_name="pair", unit="rows/s", subject="ours", bare="bare", cores=2
    )

    assert "| of the bare's | 0.25 | 1.00 | 0.50 |  |" in section.table
