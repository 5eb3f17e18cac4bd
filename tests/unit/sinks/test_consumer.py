"""What an outside service may answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refused
from sinks.consumer import BadAnswer, Replies, UnknownAnswer, read_answer

REPLIES = Replies("billing", b"a reply key of 16 bytes")
ID = "0" * 32


def said(**changes: object) -> bytes:
    return json.dumps({"v": 1, "batch_id": ID, "reply": REPLIES.make(ID, 3, 2), "outcome": "done"} | changes).encode()


def test_done_is_every_row_but_the_listed_ones() -> None:
    answer = read_answer(REPLIES, said(rows=[{"record": 1, "reason": "a person's name"}]))

    assert answer.partition == 3
    assert answer.ack("billing")["changed"] == 1
    assert answer.ack("billing")["withheld"] == [{"row": 1, "reason": "cannot"}]


def test_cannot_without_rows_is_all_of_them() -> None:
    assert len(read_answer(REPLIES, said(outcome="cannot")).ack("billing")["withheld"]) == 2


def test_retry_acknowledges_nothing() -> None:
    assert read_answer(REPLIES, said(outcome="retry")).ack("billing")["outcome"] == "retry"


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"outcome": "maybe"},
        {"batch_id": 7},
        {"reply": None},
        {"reply": "3.2"},
        {"reply": "٣.2.x"},
        {"rows": {}},
        {"rows": [0]},
        {"rows": [{"record": 2}]},
        {"rows": [{"record": -1}]},
        {"rows": [{"record": True}]},
        {"rows": [{"record": 0}, {"record": 0}]},
    ],
)
def test_a_malformed_answer_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadAnswer):
        read_answer(REPLIES, said(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"reply": REPLIES.make(ID, 4, 2).replace("4.", "3.", 1)},
        {"reply": Replies("crm", b"a reply key of 16 bytes").make(ID, 3, 2)},
        {"reply": Replies("billing", b"another key of 16 bytes").make(ID, 3, 2)},
        {"batch_id": "1" * 32},
    ],
)
def test_an_answer_to_a_batch_that_was_not_handed_out_is_not_ours(changes: dict[str, object]) -> None:
    with pytest.raises(UnknownAnswer):
        read_answer(REPLIES, said(**changes))


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_nothing_that_a_service_sends_breaks_the_reader(value: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_answer(REPLIES, value)


def test_a_short_reply_key_is_refused() -> None:
    with pytest.raises(Refused, match="16 bytes"):
        Replies("billing", b"short")
