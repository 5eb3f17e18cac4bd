from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ebbtide.wire import public_codec
from ops.bench.dataset import AS_OF_DAY, CATEGORIES, DAY_MS, Shape, blocks, org_names
from ops.bench.digest import digest

_SHAPE = Shape(records=3_000, orgs=40, seed=3)


@pytest.fixture(scope="module")
def events():
    """All events as the public schema reads them, each with the org that its key will be."""
    codec = public_codec()
    names = org_names(_SHAPE)
    found = []
    for block in blocks(_SHAPE):
        for org, value in zip(block.org, block.values, strict=True):
            name, event = codec.decode(value)
            assert name == "LifecycleEvent"
            found.append((names[org], event))
    return found


def test_every_event_is_a_created_event_of_the_public_schema_keyed_by_its_org(events):
    assert len(events) == _SHAPE.records
    for key, event in events:
        assert event["kind"] == "created"
        assert event["org"] == key
        assert event["category"] in CATEGORIES
        assert len(event["subject_ids"]) in {1, 2}
        assert len(set(event["subject_ids"])) == len(event["subject_ids"])


def test_record_ids_are_unique(events):
    assert len({event["record_id"] for _, event in events}) == _SHAPE.records


def test_events_come_in_the_order_of_their_time_over_all_days(events):
    times = [_ms(event) for _, event in events]

    assert all(a <= b for a, b in pairwise(times))
    assert {ms // DAY_MS for ms in times} == set(range(_SHAPE.first_day, AS_OF_DAY))


def test_what_is_due_follows_from_created_day_and_period_alone(events):
    for as_of in (_SHAPE.warm_up_day, AS_OF_DAY):
        expected = digest(
            (event["org"].encode(), event["category"].encode(), event["record_id"].encode())
            for _, event in events
            if _ms(event) // DAY_MS + CATEGORIES[event["category"]].period_days < as_of
        )

        stated = [block.due[as_of] for block in blocks(_SHAPE)]

        assert sum(stated[1:], stated[0]) == expected
        assert 0 < expected.count < _SHAPE.records


def test_orgs_are_zipf_the_first_about_twice_as_large_as_the_second(events):
    sizes = Counter(key for key, _ in events)
    names = org_names(_SHAPE)

    assert 1.5 < sizes[names[0]] / sizes[names[1]] < 2.7


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others():
    first, again = (next(iter(blocks(_SHAPE))).values for _ in range(2))
    other = next(iter(blocks(Shape(records=3_000, orgs=40, seed=4)))).values

    assert first == again
    assert first != other


def _ms(event) -> int:
    at = event["occurred_at"]
    return at if isinstance(at, int) else round(at.timestamp() * 1000)
