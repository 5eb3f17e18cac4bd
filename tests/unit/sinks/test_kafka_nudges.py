"""When partitions are nudged: each tombstone's segment can be closed in time, and nobody else is written to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sinks.kafka_bound import NUDGE_LATE_S, Compaction
from sinks.kafka_nudges import Nudges

HOUR = 3_600.0
QUIET = Compaction(
    topic="profiles",
    segment_s=24 * HOUR,
    max_lag_s=6 * HOUR,
    min_lag_s=0,
    tombstones_s=24 * HOUR,
    file_delay_s=60,
    backoff_s=15,
)


def nudged(erasures: list[float], *, turns: int = 2_000, turn_s: float = 300.0) -> list[float]:
    """Return when partition 0 is nudged, by a runner that looks every `turn_s`."""
    nudges, found, waiting = Nudges(), [], sorted(erasures)
    for turn in range(turns):
        now = turn * turn_s
        while waiting and waiting[0] <= now:
            nudges.erased([("profiles", 0)], QUIET, now)
            waiting.pop(0)
        found += [now] * len(nudges.take(now))
    return found


def test_one_erasure_is_followed_by_one_nudge_and_two_for_its_tombstone() -> None:
    first, *rest = nudged([0.0])

    assert QUIET.roll_s < first <= QUIET.roll_s + QUIET.grain_s + 300
    assert len(rest) == 2
    assert rest[0] >= QUIET.within_s + QUIET.tombstones_s
    assert rest[1] - rest[0] >= QUIET.roll_s


def test_a_partition_that_nobody_erases_from_is_never_written_to() -> None:
    assert nudged([]) == []


@given(st.lists(st.floats(0, 200_000), min_size=1, max_size=50))
def test_each_tombstone_gets_a_nudge_that_can_close_its_segment_and_many_share_one(erasures: list[float]) -> None:
    found = nudged(erasures)

    for erased in erasures:
        assert any(erased + QUIET.roll_s < at <= erased + QUIET.roll_s + QUIET.grain_s + 600 for at in found)
    assert len(found) <= 3 * len({int(erased // QUIET.grain_s) for erased in erasures}) + 3


def test_a_nudge_is_never_so_late_that_the_bound_would_not_hold() -> None:
    (first, *_) = nudged([0.0], turn_s=2.0, turns=20_000)

    assert first <= QUIET.roll_s + QUIET.grain_s + NUDGE_LATE_S


def test_a_topic_that_is_not_nudged_has_none_due() -> None:
    nudges = Nudges()
    off = Compaction(**{f: getattr(QUIET, f) for f in QUIET.__slots__} | {"nudged": False})

    nudges.erased([("profiles", 0)], off, 0.0)

    assert nudges.take(10**9) == []
