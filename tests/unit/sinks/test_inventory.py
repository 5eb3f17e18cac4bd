"""Which rows backfill tells of; the others are counted by reason, and no reason holds an id."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from sinks.base import Found
from sinks.inventory import admit

ROW: dict[str, Any] = {
    "category": "messages",
    "org": "acme",
    "record_id": "m-1",
    "created_s": 1_700_000_000.9,
    "subjects": ("u-1", None, ""),
    "now_s": 2_000_000_000,
}


def test_a_good_row_becomes_a_record_with_whole_seconds_and_the_subjects_that_are_there() -> None:
    skipped: Counter[str] = Counter()

    found = admit(skipped, **ROW)

    assert found == Found(
        category="messages", org="acme", record_id="m-1", created_s=1_700_000_000, subject_ids=("u-1",)
    )
    assert not skipped


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"org": None}, "no_org"),
        ({"org": ""}, "no_org"),
        ({"org": "x" * 257}, "org_too_long"),
        ({"record_id": None}, "no_id"),
        ({"record_id": ""}, "no_id"),
        ({"record_id": "é" * 513}, "id_too_long"),
        ({"created_s": None}, "no_created"),
        ({"created_s": -0.5}, "bad_created"),
        ({"created_s": math.inf}, "bad_created"),
        ({"created_s": math.nan}, "bad_created"),
        ({"created_s": 2**32}, "bad_created"),
        ({"created_s": 2_000_080_001}, "created_in_future"),
        ({"record_id": "m\n1"}, "bad_text"),
        ({"org": "a\x7f"}, "bad_text"),
        ({"subjects": ("x" * 1025,)}, "subject_too_long"),
    ],
)
def test_a_row_that_cannot_be_told_is_counted_under_its_reason(change: dict[str, Any], reason: str) -> None:
    skipped: Counter[str] = Counter()

    found = admit(skipped, **{**ROW, **change})

    assert found is None
    assert skipped == {reason: 1}


@pytest.mark.parametrize(
    "change",
    [{"created_s": 0}, {"created_s": 2_000_080_000}, {"record_id": "x" * 1024}, {"org": "x" * 256}, {"subjects": ()}],
)
def test_a_row_at_the_edge_is_told(change: dict[str, Any]) -> None:
    assert admit(Counter(), **{**ROW, **change}) is not None
