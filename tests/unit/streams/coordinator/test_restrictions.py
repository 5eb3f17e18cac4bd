"""Restrictions: held first, hidden where that can be, alone about a person, and lifted exactly as they were placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.subjects import pack_refs
from streams.coordinator.deadlines import gdpr
from streams.reducer import Send
from tests.support.desk import HOME, ORG, RULES, SUBJECTS, Desk, names, ordered, told

NAME = {"confirm_org_name": "Acme Boats"}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def over(desk: Desk, job: str, version: int = 1, *, partition: int = HOME, **targets: Any) -> list[Send]:
    body = ordered(**(targets or {"crm": {"due": 3, "done": 3, "changed": 3}}))
    return desk.answer("ordered", partition, body, request_id=job, version=version)


def in_force(desk: Desk, sends: list[Send]) -> list[Send]:
    """Answer the holds that are placed by what was sent."""
    every = []
    for partition, hold in told(sends, "HoldPlaced").items():
        every += desk.answer("hold", partition, {}, request_id=hold["hold_id"])
    return every


def placed(desk: Desk, people: list[str], body: Mapping[str, Any] | None = None) -> str:
    """Place a restriction, and let everything be answered; return its job."""
    sends = desk.ask("restrict", body or {}, subjects=people)
    job = desk.last
    in_force(desk, sends)
    over(desk, job)
    assert desk.state(job)["state"] == "completed"
    return job


def test_people_are_held_first_and_then_hidden_wherever_that_can_be() -> None:
    desk = Desk()
    desk.org(shards=4)

    sends = desk.ask("restrict", {}, subjects=["u-2", "u-1"])

    holds, orders = told(sends, "HoldPlaced"), told(sends, "OrderRecords")
    assert holds.keys() == orders.keys()
    assert len(holds) > 1
    order_of = [(place, name) for _, place, name in names(sends) if name in ("HoldPlaced", "OrderRecords")]
    assert all(order_of.index((p, "HoldPlaced")) < order_of.index((p, "OrderRecords")) for p in holds)
    refs = pack_refs(SUBJECTS.refs(ORG, ["u-1", "u-2"]))
    for partition, hold in holds.items():
        order = orders[partition]
        assert (hold["subjects"], hold["grace_days"], order["subjects"]) == (refs, 0, refs)
        assert hold["hold_id"].startswith("restriction:")
        assert (order["action"], order["stamp"] > 0) == ("hide", True)
        assert {part["category"]: part["targets"] for part in order["parts"]} == {
            "logs.audit": [],
            "media": [],
            "media.thumbs": [],
            "messages": ["crm"],
        }
    state = desk.state()
    assert (state["state"], state["deadline"]) == ("planning", gdpr(state["requested_at"]))


def test_it_is_done_when_the_hold_is_in_force_and_all_is_hidden(desk: Desk) -> None:
    sends = desk.ask("restrict", {"categories": ["messages"]}, subjects=["u-1"])
    job = desk.last

    over(desk, job)
    waiting = desk.state(job)["state"]
    in_force(desk, sends)

    assert waiting == "awaiting_acks"
    assert desk.state(job)["state"] == "completed"


def test_what_cannot_be_hidden_is_counted(desk: Desk) -> None:
    in_force(desk, desk.ask("restrict", {}, subjects=["u-1"]))

    over(desk, desk.last, crm={"due": 5, "done": 3, "cannot": 2})

    assert desk.state()["state"] == "completed_with_exceptions"
    assert desk.state()["detail"]["left"] == {"crm": {"cannot": 2}}


def test_lifting_brings_back_what_was_hidden_and_then_ends_the_hold(desk: Desk) -> None:
    job = placed(desk, ["u-1"])
    stamp = told(desk.log, "OrderRecords")[HOME]["stamp"]

    sends = desk.ask("unrestrict", {"job": job})
    lift = desk.last
    order = told(sends, "OrderRecords")[HOME]
    released = told(over(desk, lift), "HoldReleased")
    waiting = desk.state(lift)["state"]
    desk.answer("released", HOME, {"ends_day": 20_700}, request_id=released[HOME]["hold_id"])

    assert (order["action"], order["stamp"], order["request_id"]) == ("unhide", stamp, lift)
    assert waiting == "awaiting_acks"
    assert (desk.state(lift)["state"], desk.state(lift)["detail"]["job"]) == ("completed", job)
    desk.ask("unrestrict", {"job": job})
    assert desk.state()["reason"] == "unknown_job"


def test_nobody_is_restricted_twice_at_once(desk: Desk) -> None:
    job = placed(desk, ["u-1", "u-2"], {"categories": ["messages"]})

    desk.ask("restrict", {}, subjects=["u-2", "u-3"])
    twice = desk.state()
    elsewhere = desk.ask("restrict", {"categories": ["media"]}, subjects=["u-2"])

    assert (twice["reason"], job in twice["text"]) == ("restricted", True)
    assert told(elsewhere, "OrderRecords")


def test_what_two_people_share_is_hidden_again_when_one_restriction_is_lifted(desk: Desk) -> None:
    first, second = placed(desk, ["u-1"]), placed(desk, ["u-2"])
    desk.ask("unrestrict", {"job": first})

    sends = over(desk, desk.last)

    again = told(sends, "OrderRecords")[HOME]
    assert (again["action"], again["request_id"]) == ("hide", second)
    assert over(desk, second, version=1) == []  # its job has ended: it is no news
    assert desk.state(second)["state"] == "completed"


def test_none_is_placed_or_lifted_beside_a_deletion(desk: Desk) -> None:
    job = placed(desk, ["u-1"])
    desk.ask("delete", NAME, request_id="deletion")

    desk.ask("restrict", {}, subjects=["u-2"])
    placing = desk.state()["reason"]
    desk.ask("unrestrict", {"job": job})

    assert (placing, desk.state()["reason"]) == ("under_way", "under_way")


def test_no_deletion_begins_while_one_is_placed_or_lifted(desk: Desk) -> None:
    sends = desk.ask("restrict", {}, subjects=["u-1"])
    job = desk.last
    reasons = []
    desk.ask("delete", NAME)
    reasons.append(desk.state()["reason"])
    in_force(desk, sends)
    over(desk, job)
    desk.ask("unrestrict", {"job": job})
    desk.ask("delete", NAME)
    reasons.append(desk.state()["reason"])

    assert reasons == ["wrong_state", "wrong_state"]


def test_it_can_be_lifted_once_it_is_placed_and_once_only(desk: Desk) -> None:
    sends = desk.ask("restrict", {}, subjects=["u-1"])
    job = desk.last
    desk.ask("unrestrict", {"job": job})
    early = desk.state()["reason"]
    in_force(desk, sends)
    over(desk, job)
    desk.ask("unrestrict", {"job": job})
    desk.ask("unrestrict", {"job": job})

    assert (early, desk.state()["reason"]) == ("wrong_state", "wrong_state")


def test_its_hold_is_nobody_elses_to_release(desk: Desk) -> None:
    job = placed(desk, ["u-1"])
    hold = desk.state(job)["detail"]["hold_id"]

    desk.ask("release", {"hold_id": hold})

    assert (desk.state()["reason"], job in desk.state()["text"]) == ("wrong_state", True)


def test_it_waits_for_identity_and_for_approval_like_an_erasure() -> None:
    desk = Desk(replace(RULES, verify_identity=True, approval_over=1))
    desk.org()
    desk.ask("restrict", {}, subjects=["u-1", "u-2"])
    job = desk.last
    verified = desk.ask("verify", {"job": job})
    waiting = desk.state(job)["state"]

    approved = desk.ask("approve", {"job": job}, requested_by="bob")

    assert (told(verified, "HoldPlaced"), waiting) == ({}, "awaiting_approval")
    assert told(approved, "HoldPlaced")


def test_one_that_is_let_go_on_beside_a_deletion_fails_and_leaves_nothing() -> None:
    desk = Desk(replace(RULES, verify_identity=True))
    desk.org()
    desk.ask("restrict", {}, subjects=["u-1"])
    job = desk.last
    desk.ask("delete", NAME, request_id="deletion")

    sends = desk.ask("verify", {"job": job})

    assert (desk.state(job)["state"], "deletion" in desk.state(job)["text"]) == ("failed", True)
    assert told(sends, "HoldPlaced") == {}
    assert not any(key.startswith(b"x") for key in desk.store.rows())


@pytest.mark.parametrize("kind", ["cancel", "deny"])
def test_one_that_is_not_carried_out_leaves_nothing(kind: str) -> None:
    desk = Desk(replace(RULES, verify_identity=True))
    desk.org()
    desk.ask("restrict", {}, subjects=["u-1"])
    job = desk.last

    desk.ask(kind, {"job": job, **({"reason": "no_match"} if kind == "deny" else {})})
    desk.ask("restrict", {}, subjects=["u-1"])

    assert desk.state()["state"] == "verifying_identity"
