"""A bad event cannot be made, and its error names the field, never the value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.events import (
    BadEvent,
    BadKind,
    BadTime,
    LifecycleBatch,
    LifecycleEvent,
    MissingField,
    OrgSet,
    TooLong,
    UnevenColumns,
    batches,
    to_ms,
)
from ebbtide.wire import public_codec

EVENT: dict[str, Any] = {
    "kind": "created",
    "org": "acme",
    "category": "messages",
    "record_id": "m-17",
    "subject_ids": ("u-4", "u-5"),
    "occurred_at": 1_700_000_000_000,
    "producer": "crm",
}
BATCH: dict[str, Any] = {
    "kind": "created",
    "org": "acme",
    "category": "messages",
    "record_ids": ("a", "b"),
    "occurred_at": (1, 2),
    "subject_counts": (2, 0),
    "subject_ids": ("u", "v"),
}
ORG: dict[str, Any] = {"org": "acme", "name": "Acme Boats", "owners": ("o-1",), "set_at": 1}
SECRET = "jane.doe@example.org"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LifecycleEvent", LifecycleEvent(**EVENT)),
        ("LifecycleEvent", LifecycleEvent(kind="deactivated", org="acme", category="", occurred_at=0)),
        ("LifecycleEvent", LifecycleEvent(**{**EVENT, "kind": "derived", "parent": "m-1", "root": "m-0"})),
        ("LifecycleEvent", LifecycleEvent(**{**EVENT, "kind": "moved", "target": "archive"})),
        ("LifecycleEvent", LifecycleEvent(**{**EVENT, "kind": "named", "name": "closed"})),
        ("LifecycleBatch", LifecycleBatch(**BATCH)),
        ("OrgSet", OrgSet(**ORG, shards=4, status="closed", contract_end=5)),
    ],
)
def test_what_can_be_made_is_sent_and_read_as_it_was(
    name: str, value: LifecycleEvent | LifecycleBatch | OrgSet
) -> None:
    codec = public_codec()

    read_name, record = codec.decode(codec.encode(name, value.record()))

    assert read_name == name
    assert record == value.record()


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"kind": "made"}, BadKind, "kind"),
        ({"org": ""}, MissingField, "org"),
        ({"org": "x" * 257}, TooLong, "org"),
        ({"category": ""}, MissingField, "category"),
        ({"record_id": ""}, MissingField, "record_id"),
        ({"record_id": "x" * 1025}, TooLong, "record_id"),
        ({"record_id": "é" * 513}, TooLong, "record_id"),
        ({"record_id": "m\n17"}, BadEvent, "record_id"),
        ({"org": "acme\x00"}, BadEvent, "org"),
        ({"record_id": 17}, BadEvent, "record_id"),
        ({"record_id": "\ud800"}, BadEvent, "record_id"),
        ({"subject_ids": SECRET}, BadEvent, "subject_ids"),
        ({"subject_ids": ("",)}, MissingField, "subject_ids"),
        ({"subject_ids": (SECRET * 60,)}, TooLong, "subject_ids"),
        ({"occurred_at": -1}, BadTime, "occurred_at"),
        ({"occurred_at": 253_402_300_800_000}, BadTime, "occurred_at"),
        ({"kind": "derived"}, MissingField, "parent"),
        ({"parent": "m-1"}, BadKind, "parent"),
        ({"kind": "moved"}, MissingField, "target"),
        ({"kind": "named"}, BadKind, "name"),
        ({"name": "closed"}, BadKind, "name"),
        ({"kind": "deactivated", "category": ""}, MissingField, "category"),
    ],
)
def test_a_bad_event_cannot_be_made(change: dict[str, Any], error: type[BadEvent], field: str) -> None:
    with pytest.raises(error) as refused:
        LifecycleEvent(**{**EVENT, **change})

    assert refused.value.field == field
    assert field in str(refused.value)
    assert SECRET not in str(refused.value)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"record_ids": (), "occurred_at": (), "subject_counts": (), "subject_ids": ()}, MissingField, "record_ids"),
        ({"occurred_at": (1,)}, UnevenColumns, "occurred_at"),
        ({"subject_counts": (1, 0)}, UnevenColumns, "subject_counts"),
        ({"subject_counts": (3, -1)}, UnevenColumns, "subject_counts"),
        ({"subject_counts": (2,)}, UnevenColumns, "subject_counts"),
        ({"subject_counts": (), "subject_ids": ("u",)}, UnevenColumns, "subject_ids"),
        ({"parents": ("p", "q")}, BadKind, "parents"),
        ({"kind": "derived"}, BadKind, "parents"),
        ({"kind": "derived", "parents": ("p",)}, UnevenColumns, "parents"),
        ({"kind": "derived", "parents": ("p", "q"), "roots": ("r",)}, UnevenColumns, "roots"),
        ({"record_ids": ("a", "")}, MissingField, "record_ids"),
    ],
)
def test_a_batch_with_uneven_columns_cannot_be_made(change: dict[str, Any], error: type[BadEvent], field: str) -> None:
    with pytest.raises(error) as refused:
        LifecycleBatch(**{**BATCH, **change})

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"name": ""}, MissingField, "name"),
        ({"status": "gone"}, BadKind, "status"),
        ({"shards": 0}, BadEvent, "shards"),
        ({"contract_end": -1}, BadTime, "contract_end"),
    ],
)
def test_a_bad_org_cannot_be_made(change: dict[str, Any], error: type[BadEvent], field: str) -> None:
    with pytest.raises(error) as refused:
        OrgSet(**{**ORG, **change})

    assert refused.value.field == field


def test_ids_and_subjects_do_not_show() -> None:
    shown = repr(LifecycleEvent(**{**EVENT, "subject_ids": (SECRET,)})) + repr(LifecycleBatch(**BATCH))

    assert SECRET not in shown
    assert "m-17" not in shown
    assert "record_ids" not in shown


def test_a_time_has_a_zone() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    assert to_ms(at) == round(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp() * 1000)
    with pytest.raises(BadTime, match="has no time zone"):
        to_ms(at.replace(tzinfo=None))


ids = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
rows = st.lists(st.tuples(ids, st.integers(0, 10**12), st.lists(ids, max_size=3)), max_size=60)


@given(rows, st.integers(1, 10), st.integers(1, 400))
def test_law_batches_hold_all_rows_in_order_within_their_limits(
    given_rows: list[tuple[str, int, list[str]]], max_rows: int, max_bytes: int
) -> None:
    record_ids, times, subjects = (list(c) for c in zip(*given_rows, strict=True)) if given_rows else ([], [], [])

    made = list(
        batches(
            "created", "acme", "messages", record_ids, times, subjects=subjects, max_rows=max_rows, max_bytes=max_bytes
        )
    )

    assert [row for batch in made for row in rows_of(batch)] == [(r, t, tuple(s)) for r, t, s in given_rows]
    assert all(len(b.record_ids) <= max_rows for b in made)
    codec = public_codec()
    sizes = [len(codec.encode("LifecycleBatch", b.record())) for b in made if len(b.record_ids) > 1]
    assert all(size <= max_bytes + 100 for size in sizes)


def rows_of(batch: LifecycleBatch) -> Sequence[tuple[str, int, tuple[str, ...]]]:
    counts = batch.subject_counts or ((1,) if batch.subject_ids else (0,)) * len(batch.record_ids)
    left = iter(batch.subject_ids)
    return [
        (r, t, tuple(next(left) for _ in range(n)))
        for r, t, n in zip(batch.record_ids, batch.occurred_at, counts, strict=True)
    ]


def test_uneven_rows_are_refused_before_the_first_batch() -> None:
    with pytest.raises(UnevenColumns, match="subjects has 1 rows, record_ids has 2"):
        next(batches("created", "acme", "messages", ["a", "b"], [1, 2], subjects=[["u"]]))
    with pytest.raises(BadEvent, match="must be a list of texts"):
        next(batches("created", "acme", "messages", ["a"], [1], subjects=[SECRET]))
