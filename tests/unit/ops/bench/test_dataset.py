from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ebbtide.wire import public_codec
from ops.bench.answer import Answer, answer_for
from ops.bench.block import DAY_MS
from ops.bench.dataset import AS_OF_DAY, CATEGORIES, Shape, blocks, org_names
from ops.bench.digest import digest
from ops.bench.messages import Messages
from ops.bench.shapes import SHAPES

_SHAPE = Shape(records=3_000, orgs=40, seed=3)
_LATER = Shape(records=3_000, orgs=20, seed=3, touched=0.4, deleted=0.2)


def answer_of(shape: Shape) -> Answer:
    """All events of a shape told to an answer."""
    answer = answer_for(org_names(shape), CATEGORIES, shape.id_length)
    for _ in blocks(shape, answer):
        pass
    return answer


def events_of(shape: Shape, *, batched: bool = False):
    """All events as the public schema reads them, each with the org that its key will be."""
    codec, names, made = public_codec(), org_names(shape), Messages(shape)
    for block in blocks(shape, answer_for(names, CATEGORIES, shape.id_length)):
        for org, value in made.batches(block) if batched else made.singles(block):
            name, event = codec.decode(value)
            assert name == ("LifecycleBatch" if batched else "LifecycleEvent")
            yield names[org], event


@pytest.fixture(scope="module")
def events():
    return list(events_of(_SHAPE))


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
    answer = answer_of(_SHAPE)

    for as_of in (_SHAPE.warm_up_day, _SHAPE.as_of_day):
        expected = digest(
            (event["org"].encode(), event["category"].encode(), event["record_id"].encode())
            for _, event in events
            if _ms(event) // DAY_MS + CATEGORIES[event["category"]].period_days < as_of
        )
        assert answer.due(as_of) == expected
        assert 0 < expected.count < _SHAPE.records


@pytest.mark.parametrize("shape", SHAPES)
def test_both_sweeps_of_a_shape_find_something_and_the_timed_one_is_the_later(shape: str) -> None:
    full = SHAPES[shape].full

    shortest = min(category.period_days for category in CATEGORIES.values())

    assert full.first_day + shortest < full.warm_up_day < full.as_of_day <= AS_OF_DAY


def test_touches_move_what_is_due_and_deletes_take_it_away():
    last: dict[tuple[str, str, str], int] = {}
    kinds = Counter()
    for org, event in events_of(_LATER):
        key, day = (org, event["category"], event["record_id"]), _ms(event) // DAY_MS
        kinds[event["kind"]] += 1
        if event["kind"] == "created":
            last[key] = day
        elif event["kind"] == "touched":
            assert event["subject_ids"] == []
            if key in last:  # else it was deleted just before
                last[key] = max(last[key], day)
        else:
            del last[key]
    answer = answer_of(_LATER)

    assert answer.kept == len(last)
    assert answer.due(AS_OF_DAY) == digest(
        (org.encode(), category.encode(), record.encode())
        for (org, category, record), day in last.items()
        if day + CATEGORIES[category].period_days < AS_OF_DAY
    )
    assert kinds["touched"] > kinds["deleted"] > 200


@pytest.mark.parametrize("shape", [_SHAPE, _LATER])
def test_batches_tell_the_same_as_single_events(shape):
    told = Counter((org, e["kind"], e["category"], e["record_id"], _ms(e), tuple(e["subject_ids"]))
                   for org, e in events_of(shape))  # fmt: skip
    batched: Counter = Counter()
    for org, batch in events_of(shape, batched=True):
        subjects = iter(batch["subject_ids"])
        counts = batch["subject_counts"] or [0] * len(batch["record_ids"])
        for record, at, count in zip(batch["record_ids"], batch["occurred_at"], counts, strict=True):
            mine = tuple(next(subjects) for _ in range(count))
            batched[org, batch["kind"], batch["category"], record, at, mine] += 1

    assert batched == told


def test_a_backfill_has_no_order_of_days_and_a_huge_org_its_share():
    backfill = [_ms(e) // DAY_MS for _, e in events_of(Shape(records=2_000, days=400, disorder=True))]
    huge = Counter(org for org, _ in events_of(Shape(records=2_000, largest=0.9)))

    assert sum(a > b for a, b in pairwise(backfill)) > 800
    assert len(set(backfill)) > 350
    assert 1_700 < huge[org_names(_SHAPE)[0]] < 1_900


def test_short_ids_are_unique_and_short():
    ids = [event["record_id"] for _, event in events_of(Shape(records=2_000, short_ids=True))]

    assert len(set(ids)) == 2_000
    assert {len(i) for i in ids} == {9}


def test_orgs_are_zipf_the_first_about_twice_as_large_as_the_second(events):
    sizes = Counter(key for key, _ in events)
    names = org_names(_SHAPE)

    assert 1.5 < sizes[names[0]] / sizes[names[1]] < 2.7


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others():
    first, again = ([e for _, e in events_of(Shape(records=300, seed=3))] for _ in range(2))
    other = [e for _, e in events_of(Shape(records=300, seed=4))]

    assert first == again
    assert first != other


def _ms(event) -> int:
    at = event["occurred_at"]
    return at if isinstance(at, int) else round(at.timestamp() * 1000)
