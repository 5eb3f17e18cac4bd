"""Answers: what a ledger says is read with care; what it never says changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.coordinator.answers import BadAnswer, read_body
from tests.support.desk import HOME, TOPICS, Desk, reasons


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("erase", ""),
        ("erase", "[]"),
        ("erase", "{}"),
        ("erase", '{"scanned": true, "found": -1}'),
        ("erase", '{"scanned": true, "found": "2"}'),
        ("erase", '{"scanned": true, "found": 2, "waiting": {"hold": -1}}'),
        ("erase", '{"scanned": true, "found": 2, "targets": {"crm": 5}}'),
        ("preview", '{"as_of_day": 1}'),
        ("released", '{"ends_day": null}'),
        ("moon", "{}"),
    ],
)
def test_an_answer_that_no_ledger_gives_is_a_dead_letter_and_changes_nothing(kind: str, body: str) -> None:
    desk = Desk()
    desk.org()
    desk.ask("erase", subjects=["u-1"])
    before = desk.store.rows()
    record = {"org": "acme", "kind": kind, "partition": HOME, "epoch": 1, "version": 1, "request_id": desk.last}

    sends = desk.give(TOPICS.answers, "Answer", {**record, "body": body})

    assert reasons(sends) == ["bad_answer"]
    assert desk.store.rows() == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["scanned", "found", "subjects", "waiting", "targets", "as_of_day", "categories", "ends_day"])


@settings(deadline=None)
@given(st.sampled_from(["erase", "preview", "released"]), st.dictionaries(MEMBERS, JSON))
def test_any_json_is_read_or_refused_and_never_anything_else(kind: str, body: dict[str, Any]) -> None:
    import json

    try:
        read = read_body(kind, json.dumps(body))
    except BadAnswer:
        return
    assert read
