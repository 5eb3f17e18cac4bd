"""By when the law wants a request done: dates by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rules import LAWS, Regime
from schemas.topics import DAY_MS
from streams.coordinator.deadlines import ccpa, deadline, extended, gdpr, regimes

OWN = {"lgpd": Regime(days=15), "ours": Regime(days=20, extension_days=10)}


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-01-31T10:00:00", "2026-02-28T10:00:00"),  # no 31 February: the month's last day
        ("2028-01-31T10:00:00", "2028-02-29T10:00:00"),  # the same in a leap year
        ("2028-01-30T23:59:59.999", "2028-02-29T23:59:59.999"),  # 30 days would be the day after
        ("2028-01-29T00:00:00", "2028-02-28T00:00:00"),  # 30 days come a day before the month's end
        ("2026-02-01T08:30:00", "2026-03-01T08:30:00"),  # a month of 28 days
        ("2028-02-29T12:00:00", "2028-03-29T12:00:00"),  # the leap day itself
        ("2026-03-28T01:30:00", "2026-04-27T01:30:00"),  # the night before clocks change in Europe: UTC does not care
        ("2026-04-15T00:00:00", "2026-05-15T00:00:00"),  # a month of 30 days: both the same
        ("2026-07-31T17:45:00", "2026-08-30T17:45:00"),  # a month of 31 days: 30 days are earlier
        ("2026-12-31T23:00:00", "2027-01-30T23:00:00"),  # over the year's end
    ],
)
def test_an_erasure_is_due_after_thirty_days_or_one_month_whichever_is_earlier(asked: str, due: str) -> None:
    assert gdpr(ms(asked)) == ms(due)


def test_california_gives_forty_five_days() -> None:
    assert ccpa(ms("2028-01-31T10:00:00")) == ms("2028-03-16T10:00:00")


@given(st.integers(0, 4_000_000_000_000))
def test_a_deadline_is_never_more_than_thirty_days_away_and_never_less_than_a_february(asked: int) -> None:
    assert 28 * DAY_MS <= gdpr(asked) - asked <= 30 * DAY_MS


@pytest.mark.parametrize(
    ("regime", "due", "until"),
    [
        ("gdpr", "2026-11-30T10:00:00", "2027-01-30T10:00:00"),
        ("gdpr", "2026-12-31T10:00:00", "2027-02-28T10:00:00"),  # two months on there is no 31st
        ("gdpr", "2027-12-30T10:00:00", "2028-02-29T10:00:00"),
        ("ccpa", "2028-03-16T10:00:00", "2028-04-30T10:00:00"),
        ("ours", "2026-02-20T00:00:00", "2026-03-02T00:00:00"),
        ("lgpd", "2026-02-20T00:00:00", "2026-02-20T00:00:00"),  # allows none
        ("gone", "2026-02-20T00:00:00", "2026-02-20T00:00:00"),  # the rules have it no more
    ],
)
def test_a_deadline_is_extended_as_far_as_its_regime_allows(regime: str, due: str, until: str) -> None:
    assert extended(regime, ms(due), OWN) == ms(until)


def test_regimes_of_the_rules_stand_beside_the_laws() -> None:
    assert regimes(OWN) == [*LAWS, "lgpd", "ours"]
    assert deadline("lgpd", ms("2026-01-31T10:00:00"), OWN) == ms("2026-02-15T10:00:00")
    assert deadline("gdpr", ms("2026-01-31T10:00:00"), OWN) == gdpr(ms("2026-01-31T10:00:00"))
