"""An order to hide says one thing, by one id; its answer counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.codec import full_codec
from sinks.batch import BadBatch
from sinks.hiding import DONE, FAILED, Hidden, HideOrder

ORDER = HideOrder(
    id="0" * 32, target="crm", org="acme", category="messages", action="hide", stamp=1_700_000_000_000_123
)


def test_an_order_travels_as_the_record_that_the_ledger_writes() -> None:
    record = {"order_id": ORDER.id, "target": "crm", "org": "acme", "category": "messages", "action": "hide"}

    read = full_codec().decode(full_codec().encode("HideOrder", record | {"stamp": ORDER.stamp}))[1]

    assert HideOrder.from_record(read) == ORDER


def test_a_stamp_is_a_time_to_the_microsecond() -> None:
    assert ORDER.at == datetime(2023, 11, 14, 22, 13, 20, 123, tzinfo=UTC)


def test_what_ends_a_hide_shares_its_name_and_nothing_else_does() -> None:
    same = replace(ORDER, action="unhide", id="1" * 32)
    others = [replace(ORDER, **{name: "x"}) for name in ("target", "org", "category")]  # type: ignore[arg-type]

    names = {other.hide_id for other in (*others, replace(ORDER, stamp=ORDER.stamp + 1))}

    assert same.hide_id == ORDER.hide_id
    assert same.digest != ORDER.digest
    assert len(names | {ORDER.hide_id}) == 5


@pytest.mark.parametrize("changes", [{"id": "0"}, {"action": "show"}, {"org": ""}])
def test_an_order_that_says_nothing_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(BadBatch):
        replace(ORDER, **changes)  # type: ignore[arg-type]


def test_rows_that_refuse_make_an_answer_that_is_asked_again() -> None:
    assert [Hidden.of(5, 0).outcome, Hidden.of(5, 1).outcome] == [DONE, FAILED]
    assert Hidden.from_json(Hidden.of(5, 1).to_json()) == Hidden.of(5, 1)
    with pytest.raises(ValueError, match="-1 rows"):
        Hidden(outcome=DONE, rows=-1)
