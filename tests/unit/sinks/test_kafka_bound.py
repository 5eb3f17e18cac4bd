"""What the bound of a compacted topic promises: it follows the live settings, and endless is never a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.kafka_bound import CLEANER_RUN_S, NUDGE_LATE_S, Compaction

DAY_MS = 86_400_000
SETTINGS = {
    "segment.ms": str(DAY_MS),
    "max.compaction.lag.ms": str(DAY_MS),
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": str(DAY_MS),
    "file.delete.delay.ms": "60000",
}


def compaction(brokers: Mapping[str, str] | None = None, **changes: str) -> Compaction:
    settings = {**SETTINGS, **{name.replace("_", "."): value for name, value in changes.items()}}
    return Compaction.of("profiles", settings, brokers or {"log.cleaner.backoff.ms": "15000"})


def test_a_day_of_lag_is_a_day_an_eighth_for_shared_nudges_and_what_cleaner_and_files_take() -> None:
    within = compaction().within_s

    assert within == 86_400 * 1.125 + NUDGE_LATE_S + 30 + CLEANER_RUN_S + 60


def test_the_smaller_of_segment_and_lag_closes_a_segment() -> None:
    short = compaction(segment_ms="3600000")

    assert short.roll_s == 3_600
    assert short.within_s == 86_400 + 30 + CLEANER_RUN_S + 60


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (compaction(max_compaction_lag_ms=str(2**63 - 1)), "max.compaction.lag.ms is endless"),
        (compaction({"log.cleaner.enable": "false"}), "the brokers do not clean"),
        (replace(compaction(), nudged=False), "nudges are off"),
    ],
)
def test_what_nothing_bounds_is_endless_and_says_why(found: Compaction, said: str) -> None:
    assert math.isinf(found.within_s)
    assert said in found.words()


@given(*[st.integers(0, 10**10)] * 5)
def test_a_setting_that_grows_never_makes_the_bound_smaller(
    segment: int, lag: int, least: int, delay: int, more: int
) -> None:
    names = ("segment_ms", "max_compaction_lag_ms", "min_compaction_lag_ms", "file_delete_delay_ms")
    values = dict(zip(names, (segment + 1, lag + 1, least, delay), strict=True))
    within = compaction(**{name: str(value) for name, value in values.items()}).within_s

    for name in names:
        grown = compaction(**{n: str(v + (more if n == name else 0)) for n, v in values.items()})
        assert grown.within_s >= within
