"""Two requests for the same person: the second joins the first as long as that does all of what it asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from streams.coordinator import keys
from tests.support.desk import HOME, ORG, RULES, SUBJECTS, Desk, erasure, told


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def first(desk: Desk, **body: Any) -> int:
    """Ask for the erasure of two people; return up to when it goes."""
    desk.ask("erase", body, subjects=["u-1", "u-2"], request_id="first")
    return int(desk.state("first")["detail"]["through"])


def ref(subject: str) -> str:
    return SUBJECTS.ref(ORG, subject).to_bytes(8, "little").hex()


def test_the_second_request_sends_nothing_and_ends_with_the_first(desk: Desk) -> None:
    through = first(desk)

    sent = desk.ask("erase", {"through": through}, subjects=["u-2", "u-1", "u-2"], request_id="second")
    counts = {ref("u-1"): 1, ref("u-2"): 3}
    desk.answer("erase", HOME, erasure(found=4, subjects=counts, crm=(4, 1, 0)), request_id="first")
    between = desk.state("second")
    desk.answer("erase", HOME, erasure(found=4, subjects=counts, crm=(4, 4, 0)), version=2, request_id="first")

    assert told(sent, "Erase") == {}
    assert (between["state"], between["detail"]["joined"]) == ("awaiting_acks", "first")
    assert desk.states("second") == ["planning", "awaiting_acks", "completed"]
    assert desk.state("second")["detail"]["found"] == 4
    assert desk.state("second")["detail"]["subjects"] == [3, 1, 3]
    assert desk.state("first")["detail"]["subjects"] == [1, 3]


def test_who_joins_late_stands_at_once_where_the_first_stands(desk: Desk) -> None:
    through = first(desk)
    desk.answer("erase", HOME, erasure(found=1, crm=(1, 0, 0)), request_id="first")
    versions = len(desk.states("first"))

    desk.ask("erase", {"through": through - 5}, subjects=["u-1", "u-2"], request_id="second")

    assert desk.state("second")["state"] == "awaiting_acks"
    assert len(desk.states("first")) == versions


def test_late_data_brings_both_back_and_an_exception_is_one_of_both(desk: Desk) -> None:
    through = first(desk)
    desk.ask("erase", {"through": through}, subjects=["u-1", "u-2"], request_id="second")
    desk.answer("erase", HOME, erasure(found=1, crm=(1, 1, 0)), request_id="first")

    desk.answer("erase", HOME, erasure(found=2, crm=(2, 1, 0)), version=2, request_id="first")
    held = erasure(found=2, waiting={"hold": 1}, crm=(1, 1, 0))
    desk.answer("erase", HOME, held, version=3, request_id="first")

    ends = ["planning", "completed", "awaiting_acks", "completed_with_exceptions"]
    assert desk.states("second") == ends
    assert desk.state("second")["text"] == desk.state("first")["text"] != ""


@pytest.mark.parametrize(
    "other",
    [
        {"subjects": ["u-1"]},
        {"subjects": ["u-1", "u-2", "u-3"]},
        {"body": {"categories": ["media"]}},
        {"later": 1},
    ],
    ids=["fewer people", "more people", "other categories", "later"],
)
def test_what_the_first_does_not_do_exactly_is_a_pass_of_its_own(desk: Desk, other: dict[str, Any]) -> None:
    through = first(desk) + other.get("later", 0)

    subjects = other.get("subjects", ["u-1", "u-2"])
    sent = desk.ask("erase", {"through": through, **other.get("body", {})}, subjects=subjects)

    assert told(sent, "Erase")
    assert "joined" not in desk.state()["detail"]


def test_what_has_ended_is_joined_no_more(desk: Desk) -> None:
    through = first(desk)
    desk.answer("erase", HOME, erasure(), request_id="first")

    sent = desk.ask("erase", {"through": through}, subjects=["u-1", "u-2"])

    assert told(sent, "Erase")
    assert desk.state("first")["state"] == "completed"


def test_the_newest_is_joined_and_what_is_known_of_it_goes_with_its_end(desk: Desk) -> None:
    first(desk)
    desk.ask("erase", {}, subjects=["u-1", "u-2"], request_id="later")
    through = desk.state("later")["detail"]["through"]

    desk.answer("erase", HOME, erasure(), request_id="first")
    desk.ask("erase", {"through": through}, subjects=["u-1", "u-2"], request_id="third")
    joined = desk.state("third")["detail"]["joined"]
    desk.answer("erase", HOME, erasure(), request_id="later")

    assert joined == "later"
    assert list(desk.store.scan(keys.SAME)) == []


def test_a_request_that_waits_for_approval_joins_when_it_has_it() -> None:
    desk = Desk(replace(RULES, approval_over=1))
    desk.org()
    through = first(desk)
    desk.ask("approve", {"job": "first"}, requested_by="bob")
    desk.ask("erase", {"through": through}, subjects=["u-1", "u-2"], request_id="second")
    waits = desk.state("second")["state"]

    sent = desk.ask("approve", {"job": "second"}, requested_by="bob")

    assert (waits, desk.state("second")["state"]) == ("awaiting_approval", "planning")
    assert told(sent, "Erase") == {}
    assert json.dumps(desk.state("second")["detail"]).count("first") == 1
