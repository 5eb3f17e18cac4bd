"""Batches and receipts: a bad one cannot be made, and none shows a record id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import full_codec
from schemas.uuids import Uuids
from schemas.values import ValuesSeal
from sinks.batch import BadBatch, Batch, Receipt, RowOutcome

RECORD = {
    "batch_id": "0" * 32,
    "target": "crm",
    "org": "acme",
    "category": "messages",
    "action": "delete",
    "reason": "retention",
    "rules_version": 1,
    "policy_version": 1,
    "as_of_day": 1,
    "record_ids": ["31415926", "b"],
}


@pytest.mark.parametrize(
    "changes", [{"batch_id": "x"}, {"batch_id": ""}, {"org": ""}, {"record_ids": []}, {"action": "shred"}]
)
def test_a_bad_batch_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(BadBatch):
        Batch.from_record(RECORD | changes)


def test_a_batch_does_not_show_its_record_ids() -> None:
    assert "31415926" not in repr(Batch.from_record(RECORD))


@pytest.mark.parametrize("changes", [{"org": "b"}, {"category": "c"}, {"record_ids": ["31415926b"]}, {"target": "t"}])
def test_a_digest_stands_for_all_that_a_batch_says(changes: dict[str, object]) -> None:
    assert Batch.from_record(RECORD | changes).digest != Batch.from_record(RECORD).digest


@given(ids=st.lists(st.text(max_size=8), min_size=1, max_size=5), org=st.text(min_size=1, max_size=5))
def test_a_digest_is_over_the_json_text_of_what_a_batch_says(ids: list[str], org: str) -> None:
    batch = Batch.from_record(RECORD | {"record_ids": ids, "org": org})
    text = json.dumps([batch.id, "crm", org, "messages", "delete", *ids])

    assert batch.digest == hashlib.blake2b(text.encode(), digest_size=16).digest()


@given(uuids=st.lists(st.uuids(), min_size=1, max_size=5), stamp=st.sampled_from([0, 17]))
def test_the_digest_is_the_same_however_the_ids_are_held(uuids: list[UUID], stamp: int) -> None:
    whole = replace(Batch.from_record(RECORD | {"record_ids": [str(one) for one in uuids]}), stamp=stamp)
    in_binary = replace(whole, record_ids=Uuids(b"".join(one.bytes for one in uuids)))

    assert in_binary == whole
    assert in_binary.digest == whole.digest


@pytest.mark.parametrize(
    "counts",
    [
        {"found": 3, "changed": 0},
        {"found": 1, "changed": 2},
        {"found": 2, "changed": 2, "failed": (RowOutcome(0, "failed"),)},
        {"found": 2, "changed": 0, "failed": (RowOutcome(2, "failed"),)},
        {"found": 2, "changed": 0, "failed": (RowOutcome(0, "failed"),), "withheld": (RowOutcome(0, "lock"),)},
    ],
)
def test_a_receipt_whose_counts_contradict_each_other_cannot_be_made(counts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="receipt"):
        Receipt(batch_id="0" * 32, rows=2, **counts)  # type: ignore[arg-type]


def test_a_receipt_is_the_same_after_it_was_kept_and_becomes_an_ack() -> None:
    receipt = Receipt(
        batch_id="0" * 32,
        rows=9,
        found=7,
        changed=5,
        withheld=(RowOutcome(1, "lock"),),
        failed=(RowOutcome(4, "failed"),),
    )
    codec = full_codec()

    again = Receipt.from_json(receipt.batch_id, receipt.to_json())
    name, ack = codec.decode(codec.encode("Ack", receipt.ack("crm")))

    assert again == receipt
    assert receipt.missing == 2
    assert (name, ack["target"], ack["outcome"], ack["changed"]) == ("Ack", "crm", "applied", 5)
    assert ack["withheld"] == [{"row": 1, "reason": "lock"}]


SEAL = ValuesSeal.of(b"m" * 32)
VALUES = {"name": "Ada Byron", "age": 36}
ORDER = {
    "order_id": "1" * 32,
    "request_id": "r-1",
    "target": "crm",
    "org": "acme",
    "category": "messages",
    "action": "rectify",
    "stamp": 0,
    "sealed": SEAL.close(VALUES, org="acme", request_id="r-1", category="messages"),
    "record_ids": ["a", "b"],
}


def test_an_order_becomes_a_batch_with_its_values_opened_and_not_shown() -> None:
    made = Batch.from_order(ORDER, SEAL)

    assert made.values == VALUES
    assert made.values_of(("age", "phone")) == {"age": 36}
    assert "Ada" not in repr(made)
    assert made.digest != Batch.from_order({**ORDER, "order_id": "2" * 32}, SEAL).digest


@pytest.mark.parametrize(
    ("seal", "changes"),
    [(None, {}), (SEAL, {"request_id": "r-2"}), (SEAL, {"sealed": b""}), (ValuesSeal.of(b"x" * 32), {})],
)
def test_an_order_whose_values_do_not_open_says_which_and_how_many_rows_it_has(
    seal: ValuesSeal | None, changes: dict[str, object]
) -> None:
    with pytest.raises(BadBatch) as bad:
        Batch.from_order(ORDER | changes, seal)

    assert (bad.value.reason, bad.value.batch_id, bad.value.rows) == ("cannot_open", "1" * 32, 2)
