"""What the brake on requests promises: no ledger is told to erase before what would go is counted, or approved."""

from __future__ import annotations

from typing import Any

from ebbtide.partition import ledger_partition
from schemas.brake import Brake, Limits
from streams.reducer import Send
from tests.support.desk import DAY_MS, ORG, PARTITIONS, RULES, Desk, erasure, told

ONE, TWO = ledger_partition(ORG, 0, PARTITIONS), ledger_partition(ORG, 1, PARTITIONS)
LIMITS = Limits(share=0.5, at_least=50, records=100, org_records=500)


def open_desk(*, shards: int = 1, limits: Limits = LIMITS, **rules: Any) -> Desk:
    desk = Desk(None)
    desk.rules(RULES, brake=Brake(limits=limits), **rules)
    desk.org(shards=shards)
    return desk


def count(
    desk: Desk,
    records: int,
    partition: int = ONE,
    *,
    job: str = "r-1",
    kept: int = 1000,
    exact: bool = True,
    digest: str = "a1",
    number: int = 1,
    **more: Any,
) -> list[Send]:
    body = {"number": number, "records": records, "kept": kept, "exact": exact, "digest": digest, "position": 7}
    return desk.answer("surveyed", partition, {**body, "targets": {"crm": records}}, request_id=job, **more)


def erase(desk: Desk, *people: str, **more: Any) -> list[Send]:
    return desk.ask("erase", more.pop("body", {}), subjects=list(people or ("u-1",)), **more)


def braked(desk: Desk | None = None) -> Desk:
    desk = desk or open_desk()
    erase(desk)
    count(desk, 101)
    return desk


def approve(desk: Desk, by: str = "bob", job: str = "r-1") -> list[Send]:
    return desk.ask("approve", {"job": job, "plan": desk.state(job)["detail"]["plan_hash"]}, requested_by=by)


def test_what_is_within_the_limits_is_counted_and_then_sent() -> None:
    desk = open_desk(shards=2)

    asked = erase(desk)

    assert {p: (c["number"], c["exact_over"]) for p, c in told(asked, "Survey").items()} == {ONE: (1, 49), TWO: (1, 49)}
    assert told(asked, "Erase") == {}
    assert told(count(desk, 40, exact=False), "Erase") == {}
    sent = count(desk, 9, TWO, exact=False)
    assert set(told(sent, "Erase")) == {ONE, TWO}
    assert desk.states("r-1") == ["planning", "planning", "planning"]
    desk.answer("erase", ONE, erasure(found=3, crm=(3, 3, 0)), request_id="r-1")
    desk.answer("erase", TWO, erasure(), request_id="r-1")
    assert desk.state("r-1")["state"] == "completed"


def test_bounds_that_are_too_much_together_are_counted_exactly() -> None:
    desk = open_desk(shards=2)
    erase(desk)
    count(desk, 49, exact=False, kept=49)

    again = count(desk, 49, TWO, exact=False, kept=49)

    assert {c["exact_over"] for c in told(again, "Survey").values()} == {-1}
    assert {c["number"] for c in told(again, "Survey").values()} == {2}
    count(desk, 2, number=1)  # an answer to the first comes late
    count(desk, 20, number=2, kept=49)
    assert set(told(count(desk, 20, TWO, number=2, kept=49), "Erase")) == {ONE, TWO}


def test_too_many_records_stand_until_another_person_approves_exactly_them() -> None:
    desk = braked()
    state = desk.state("r-1")
    assert (state["state"], state["detail"]["records"]) == ("braked", 101)
    assert state["detail"]["plan"][0]["digest"] == "a1"

    checked = approve(desk)

    assert told(checked, "Erase") == {}
    assert {c["exact_over"] for c in told(checked, "Survey").values()} == {-1}
    sent = count(desk, 101, number=2)
    assert set(told(sent, "Erase")) == {ONE}
    assert "plan_hash" not in desk.state("r-1")["detail"]
    assert desk.state("r-1")["detail"]["approved_by"] == "bob"


def test_one_record_more_and_the_approval_is_void() -> None:
    desk = braked()
    old = desk.state("r-1")["detail"]["plan_hash"]
    approve(desk)

    sends = count(desk, 102, digest="b2", number=2)

    state = desk.state("r-1")
    assert told(sends, "Erase") == {}
    assert (state["state"], state["detail"]["voided"], state["detail"]["records"]) == ("braked", 1, 102)
    assert state["detail"]["plan_hash"] != old
    desk.ask("approve", {"job": "r-1", "plan": old}, requested_by="bob")
    assert desk.state()["reason"] == "stale_plan"
    approve(desk)
    assert set(told(count(desk, 102, digest="b2", number=3), "Erase")) == {ONE}


def test_another_number_of_records_is_another_plan_whatever_the_digest() -> None:
    desk = braked()
    approve(desk)

    sends = count(desk, 102, number=2)

    assert told(sends, "Erase") == {}
    assert (desk.state("r-1")["state"], desk.state("r-1")["detail"]["records"]) == ("braked", 102)


def test_who_asked_cannot_approve() -> None:
    desk = braked()

    sends = approve(desk, "ann")

    assert desk.state()["reason"] == "own_approval"
    assert told(sends, "Survey") == {}
    assert desk.state("r-1")["state"] == "braked"


def test_a_share_of_what_is_kept_is_too_much_as_well() -> None:
    desk = open_desk()
    erase(desk)

    count(desk, 60, kept=100)

    assert desk.state("r-1")["state"] == "braked"


def test_a_braked_request_is_cancelled_and_nothing_is_sent() -> None:
    desk = braked()

    sends = desk.ask("cancel", {"job": "r-1"}, requested_by="ann")

    assert told(sends, "Erase") == {}
    assert desk.state("r-1")["state"] == "cancelled"
    assert told(count(desk, 101, number=1), "Erase") == {}


def test_requests_of_one_day_are_added_up() -> None:
    desk = open_desk(limits=Limits(per_day=60, records=0, at_least=1000))
    erase(desk, "u-1")
    count(desk, 40)
    erase(desk, "u-2")

    count(desk, 30, job="r-2")

    assert desk.state("r-2")["state"] == "braked"
    desk.now += DAY_MS
    erase(desk, "u-3")
    assert set(told(count(desk, 30, job="r-3"), "Erase")) == {ONE}


def test_a_deletion_is_counted_at_the_end_of_its_grace_and_stays_hidden() -> None:
    desk = open_desk()
    desk.ask("delete", {"confirm_org_name": "Acme Boats", "grace_days": 1})
    desk.tick()
    sends = desk.pass_days(1.1)
    assert {c["everyone"] for c in told(sends, "Survey").values()} == {True}
    assert told(sends, "Erase") == {}

    count(desk, 501)

    assert desk.state("r-1")["state"] == "braked"
    assert [c["action"] for c in told(desk.log, "Hide").values()] == ["hide"]
    approve(desk)
    sent = count(desk, 501, number=2)
    assert set(told(sent, "Erase")) == {ONE}
    assert [c["action"] for c in told(sent, "Hide").values()] == ["settle"]
    assert told(sent, "Erase")[ONE]["through"] == desk.state("r-1")["detail"]["through"]


def test_a_braked_deletion_is_called_off_and_what_it_hid_comes_back() -> None:
    desk = open_desk()
    desk.ask("delete", {"confirm_org_name": "Acme Boats", "grace_days": 1})
    desk.tick()
    desk.pass_days(1.1)
    count(desk, 501)

    sends = desk.ask("restore", {"job": "r-1"})

    assert [c["action"] for c in told(sends, "Hide").values()] == ["unhide"]
    assert desk.state("r-1")["state"] == "cancelled"


def test_the_same_people_twice_are_one_erasure_when_both_may_go() -> None:
    desk = open_desk()
    erase(desk, body={"through": desk.now - 5})
    erase(desk, body={"through": desk.now - 6})
    count(desk, 5)

    sends = count(desk, 5, job="r-2")

    assert told(sends, "Erase") == {}
    assert desk.state("r-2")["detail"]["joined"] == "r-1"


def test_a_shard_that_is_ahead_is_asked_anew() -> None:
    desk = open_desk()
    erase(desk)
    desk.org(shards=2, set_at=2)

    sends = count(desk, 0, error="of an epoch behind what is known here", epoch=1)

    assert {c["epoch"] for c in told(sends, "Survey").values()} == {2}
    assert set(told(sends, "Survey")) == {ONE, TWO}


def test_without_limits_nothing_is_counted() -> None:
    desk = Desk()
    desk.org()

    assert set(told(erase(desk), "Erase")) == {ONE}


def test_answers_that_are_none_become_dead_letters() -> None:
    desk = open_desk()
    erase(desk)

    sends = desk.answer("surveyed", ONE, {"number": 1}, request_id="r-1")

    assert any(send.topic.endswith("dead-letters") for send in sends)
