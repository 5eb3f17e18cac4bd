"""Proof: a job of an erasure is done at the level that the rules ask for, and never before it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.desk import HOME, RULES, Desk, erasure

PERSON = ["u-1"]


def at(level: str) -> Desk:
    desk = Desk(replace(RULES, complete_at=level))
    desk.org()
    desk.ask("erase", subjects=PERSON)
    return desk


def proven(done: int = 2, **numbers: Any) -> dict[str, Any]:
    """Return the answer of a shard that has acknowledged `done` of two records in `crm`."""
    body = erasure(found=2, crm=(2, done, 0))
    body["targets"]["crm"] |= numbers
    return body


@pytest.mark.parametrize(
    ("level", "states"),
    [
        ("deleted", ["completed", "completed", "completed"]),
        ("gone", ["verifying", "completed", "completed"]),
        ("verified", ["verifying", "verifying", "completed"]),
    ],
)
def test_a_job_is_done_at_the_level_that_the_rules_ask_for(level: str, states: list[str]) -> None:
    desk = at(level)
    found = []

    for version, numbers in enumerate(({}, {"gone": 2}, {"gone": 2, "verified": 2}), 1):
        desk.answer("erase", HOME, proven(**numbers), version=version)
        found.append(desk.state()["state"])

    assert found == states
    assert desk.state()["detail"]["complete_at"] == level
    assert desk.state()["detail"]["levels"] == {"crm": {"deleted": 2, "gone": 2, "verified": 2}}


def test_a_job_that_is_verifying_says_that_nothing_returns_the_data_and_what_it_waits_for() -> None:
    desk = at("verified")

    desk.answer("erase", HOME, proven(gone=1, blocked_by="an old transaction"))

    state = desk.state()
    assert "no query returns the records any more" in state["text"]
    assert "crm: 2 of 2 (an old transaction)" in state["text"]
    (part,) = state["parts"]
    assert (part["done"], part["gone"], part["verified"], part["blocked_by"]) == (2, 1, 0, "an old transaction")


def test_a_job_whose_target_cannot_erase_says_which_and_why() -> None:
    desk = at("verified")

    desk.answer("erase", HOME, proven(done=1, blocked_by="an open transaction"))

    assert desk.state()["state"] == "awaiting_acks"
    assert desk.state()["text"] == "some records cannot be erased yet: crm: 1 (an open transaction)"


def test_one_row_that_is_not_proven_is_enough_to_wait() -> None:
    desk = at("verified")

    desk.answer("erase", HOME, proven(gone=2, verified=1))

    assert desk.state()["state"] == "verifying"


def test_what_a_target_can_never_say_is_an_exception_with_its_level() -> None:
    desk = at("verified")

    desk.answer("erase", HOME, proven(exempt=2))

    state = desk.state()
    assert state["state"] == "completed_with_exceptions"
    assert "of crm nobody can say more than that no query returns the records" in state["text"]
    assert state["detail"]["levels"]["crm"] == {
        "deleted": 2,
        "gone": 0,
        "verified": 0,
        "exempt": 2,
        "reaches": "deleted",
    }


def test_where_deleted_is_enough_a_target_that_can_say_no_more_is_no_exception() -> None:
    desk = at("deleted")

    desk.answer("erase", HOME, proven(exempt=2))

    assert desk.state()["state"] == "completed"


def test_what_comes_back_brings_the_job_back_to_work_and_stays_on_record() -> None:
    desk = at("verified")
    desk.answer("erase", HOME, proven())

    desk.answer("erase", HOME, proven(done=0, residual=1), version=2)
    back = desk.state()["state"]
    desk.answer("erase", HOME, proven(gone=2, verified=2, residual=1), version=3)

    assert back == "awaiting_acks"
    assert desk.state()["state"] == "completed"
    assert desk.state()["detail"]["levels"]["crm"]["residual"] == 1
    assert desk.state()["parts"][0]["residual"] == 1


def test_late_data_of_the_erased_must_be_proven_too() -> None:
    desk = at("verified")
    desk.answer("erase", HOME, proven(gone=2, verified=2))

    body = erasure(found=3, crm=(3, 3, 0))
    body["targets"]["crm"] |= {"gone": 2, "verified": 2}
    desk.answer("erase", HOME, body, version=2)

    assert desk.state()["state"] == "verifying"
    assert desk.states()[-2:] == ["completed", "verifying"]


def test_what_is_kept_and_what_is_not_proven_are_told_one_after_the_other() -> None:
    desk = at("verified")
    kept = {"hold": 1}

    desk.answer("erase", HOME, erasure(found=3, waiting=kept, crm=(2, 2, 0)))
    waits = desk.state()["state"]
    body = erasure(found=3, waiting=kept, crm=(2, 2, 0))
    body["targets"]["crm"] |= {"gone": 2, "verified": 2}
    desk.answer("erase", HOME, body, version=2)

    assert (waits, desk.state()["state"]) == ("verifying", "completed_with_exceptions")


def test_an_org_whose_deletion_is_being_proven_may_be_deleted_again() -> None:
    desk = Desk(replace(RULES, complete_at="verified"))
    desk.org()
    desk.ask("delete", {"confirm_org_name": "Acme Boats", "grace_days": 0})
    desk.answer("erase", HOME, proven())

    desk.ask("delete", {"confirm_org_name": "Acme Boats", "grace_days": 0})

    assert desk.state("r-1")["state"] == "verifying"
    assert desk.state()["state"] == "planning"


@pytest.mark.parametrize("numbers", [{"gone": -1}, {"verified": "2"}, {"exempt": None}], ids=str)
def test_an_answer_with_a_number_that_is_none_changes_nothing(numbers: dict[str, Any]) -> None:
    desk = at("verified")
    before = desk.store.rows()

    desk.answer("erase", HOME, proven(**numbers))

    assert desk.store.rows() == before
