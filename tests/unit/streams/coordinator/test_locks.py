"""What a lock lets through, judged at dates: months are compared with days as the calendar has them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.policy import Clock, Period
from streams.coordinator.locks import extends
from streams.ledger.retention import Effective, due_day


def after(*texts: str, retains: tuple[str, ...] = (), clock: str = "created", action: str = "delete") -> Effective:
    return Effective(
        after=tuple(Period.parse(t) for t in texts),
        retains=tuple(Period.parse(t) for t in retains),
        clock=Clock.parse(clock),
        action=action,
    )


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        (after("30 d"), after("30 d"), True),
        (after("30 d"), after("31 d"), True),
        (after("31 d"), after("30 d"), False),
        (after("28 d"), after("1 month"), True),
        (after("30 d"), after("1 month"), False),  # February
        (after("1 month"), after("31 d"), True),
        (after("1 month"), after("30 d"), False),  # January
        (after("1 years"), after("12 months"), True),
        (after("30 d"), after(), True),  # never by time
        (after(), after("100 years"), False),
        (after("30 d"), after("30 d", "20 d"), False),
        (after("30 d", retains=("7 d",)), after("30 d", retains=("8 d",)), True),
        (after("30 d", retains=("7 d",)), after("60 d"), False),
        (after("30 d", retains=("7 d",)), after("60 d", retains=("6 d",)), False),
        (after("30 d", retains=("7 d",)), after("30 d", retains=("7 d", "5 d")), True),
        (after("30 d"), after("60 d", clock="last_activity"), False),
        (after("30 d"), after(clock="last_activity"), True),
        (after("30 d"), after("60 d", action="anonymise"), False),
    ],
)
def test_only_what_keeps_everything_at_least_as_long_passes(old: Effective, new: Effective, passes: bool) -> None:
    assert extends(old, new) == passes


PERIODS = st.builds(Period, months=st.integers(0, 14), days=st.integers(0, 70))


@settings(deadline=None)
@given(PERIODS, PERIODS, st.integers(18_000, 20_000))
def test_nothing_is_due_earlier_under_what_passes(old: Period, new: Period, day: int) -> None:
    before, now = Effective(after=(old,)), Effective(after=(new,))

    if extends(before, now):
        assert (due_day(now, day) or 0) >= (due_day(before, day) or 0)
