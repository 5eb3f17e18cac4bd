"""What a braked category promises: one job that shows the plan of all partitions, and goes on only by exactly that."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.partition import ledger_partition
from schemas.braketoken import make_token
from streams.reducer import Send
from tests.support.desk import ORG, PARTITIONS, SEED, Desk, told

ONE = ledger_partition(ORG, 0, PARTITIONS)
TWO = ledger_partition(ORG, 1, PARTITIONS)
JOB = "brake:messages:1"


def plan(records: int = 90, digest: str = "a1", **more: Any) -> dict[str, Any]:
    made = {"day": 20_600, "position": 7, "records": records, "targets": {"crm": records}, "action": "delete"}
    return {**made, "digest": digest, **more}


def tell(
    desk: Desk, state: str, partition: int = ONE, *, at: int = 1, said: dict[str, Any] | None = None
) -> list[Send]:
    body: dict[str, Any] = {"category": "messages", "state": state, "at": at, "why": "share", "voided": 0}
    if said is not None:
        body["plan"] = said
    return desk.answer("braked", partition, body, request_id="", version=0)


def braked(*, shards: int = 1) -> Desk:
    desk = Desk()
    desk.org(shards=shards)
    desk.ask("policy", {"settings": [{"category": "messages", "period": "1 d"}]}, requested_by="ann")
    tell(desk, "braked", said=plan())
    return desk


def approve(desk: Desk, by: str = "bob", *, job: str = JOB, **body: Any) -> list[Send]:
    wanted = desk.state(job)["detail"].get("plan_hash", "")
    return desk.ask("approve", {"job": job, "plan": wanted, **body}, requested_by=by)


def test_a_braked_category_is_a_job_with_its_plan_and_hash() -> None:
    desk = braked()

    state = desk.state(JOB)

    assert (state["kind"], state["state"], state["requested_by"]) == ("brake", "braked", "ann")
    assert state["detail"]["plan"] == [{"partition": ONE, **plan()}]
    assert (state["detail"]["records"], state["detail"]["category"]) == (90, "messages")
    assert len(state["detail"]["plan_hash"]) == 64
    assert "approve the plan" in state["text"]


def test_partitions_of_one_category_make_one_plan() -> None:
    desk = braked(shards=2)
    first = desk.state(JOB)["detail"]["plan_hash"]

    tell(desk, "braked", TWO, said=plan(30, "b2"))

    detail = desk.state(JOB)["detail"]
    assert [part["partition"] for part in detail["plan"]] == sorted([ONE, TWO])
    assert detail["records"] == 120
    assert detail["plan_hash"] != first


def test_another_person_approves_exactly_the_plan() -> None:
    desk = braked(shards=2)
    tell(desk, "braked", TWO, said=plan(30, "b2"))

    sends = approve(desk)

    commands = told(sends, "BrakeApproved")
    assert {p: c["digest"] for p, c in commands.items()} == {ONE: "a1", TWO: "b2"}
    assert all((c["category"], c["day"], c["request_id"]) == ("messages", 20_600, desk.last) for c in commands.values())
    assert desk.state()["state"] == "completed"
    assert (desk.state(JOB)["state"], desk.state(JOB)["detail"]["approved_by"]) == ("planning", "bob")


def test_it_runs_while_it_is_carried_out_and_is_completed_at_its_end() -> None:
    desk = braked(shards=2)
    tell(desk, "braked", TWO, said=plan(30, "b2"))
    approve(desk)

    for at, (word, partition) in enumerate([("checking", ONE), ("approved", ONE), ("approved", TWO), ("done", ONE)], 2):
        tell(desk, word, partition, at=at, said=plan())
    assert desk.state(JOB)["state"] == "running"
    tell(desk, "done", TWO, at=9)

    assert desk.states(JOB)[-1] == "completed"
    assert desk.state(JOB)["text"] == ""


def test_a_void_approval_is_counted_and_the_new_plan_must_be_approved() -> None:
    desk = braked()
    old = desk.state(JOB)["detail"]["plan_hash"]
    approve(desk)

    tell(desk, "void", at=3)
    assert "plan_hash" not in desk.state(JOB)["detail"]
    tell(desk, "braked", at=4, said=plan(91, "c3"))

    state = desk.state(JOB)
    assert (state["state"], state["detail"]["voided"], state["detail"]["records"]) == ("braked", 1, 91)
    assert state["detail"]["plan_hash"] != old
    desk.ask("approve", {"job": JOB, "plan": old}, requested_by="bob")
    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "stale_plan")
    assert told(approve(desk), "BrakeApproved")[ONE]["digest"] == "c3"


@pytest.mark.parametrize(
    ("by", "body", "reason"),
    [
        ("ann", {}, "own_approval"),
        ("", {}, "own_approval"),
        ("bob", {"plan": "0" * 64}, "stale_plan"),
        ("bob", {"plan": ""}, "bad_body"),
        ("bob", {"token": "1790000000000." + "0" * 128}, "bad_token"),
    ],
)
def test_a_refused_approval_changes_nothing(by: str, body: dict[str, str], reason: str) -> None:
    desk = braked()
    before = desk.state(JOB)

    sends = approve(desk, by, **body)

    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", reason)
    assert told(sends, "BrakeApproved") == {}
    assert desk.state(JOB) == before


def test_a_token_of_the_installation_stands_for_a_second_person() -> None:
    desk = braked()
    wanted = desk.state(JOB)["detail"]["plan_hash"]
    token = make_token(SEED, org=ORG, job=JOB, plan=wanted, until_ms=desk.now + 60_000)

    sends = approve(desk, "ann", token=token)

    assert set(told(sends, "BrakeApproved")) == {ONE}


def test_an_org_on_the_installations_own_policy_is_approved_by_anybody_who_is_named() -> None:
    desk = Desk()
    desk.org()
    tell(desk, "braked", said=plan())

    assert desk.state(JOB)["requested_by"] == ""
    assert told(approve(desk, "ann"), "BrakeApproved") != {}


def test_whoever_changes_the_policy_while_it_is_braked_cannot_approve_either() -> None:
    desk = braked()
    desk.ask("policy", {"settings": [{"category": "messages", "period": "2 d"}]}, requested_by="bob")
    tell(desk, "braked", at=2, said=plan(95, "b2"))

    for by in ("ann", "bob"):
        assert told(approve(desk, by), "BrakeApproved") == {}
        assert desk.state()["reason"] == "own_approval"

    assert desk.state(JOB)["detail"]["set_by"] == ["ann", "bob"]
    assert told(approve(desk, "eve"), "BrakeApproved") != {}


def test_a_lock_and_settings_of_other_categories_do_not_hide_who_set_the_policy() -> None:
    desk = Desk()
    desk.org()
    desk.ask("policy", {"settings": [{"category": "messages", "period": "1 d"}]}, requested_by="ann")
    desk.ask("policy", {"settings": [{"category": "media", "period": "900 d"}]}, requested_by="bob")
    assert desk.state()["state"] == "planning"
    desk.ask("lock", {"until_day": 30_000}, requested_by="bob")
    assert desk.state()["state"] == "completed"
    tell(desk, "braked", said=plan())

    assert desk.state(JOB)["requested_by"] == "ann"
    assert told(approve(desk, "ann"), "BrakeApproved") == {}
    assert desk.state()["reason"] == "own_approval"
    assert told(approve(desk, "bob"), "BrakeApproved") != {}


def test_another_field_of_the_category_does_not_hide_who_set_its_period() -> None:
    desk = Desk()
    desk.org()
    desk.ask("policy", {"settings": [{"category": "messages", "period": "1 d"}]}, requested_by="ann")
    desk.ask("policy", {"settings": [{"category": "messages", "clock": "last_activity"}]}, requested_by="bob")
    tell(desk, "braked", said=plan())

    assert desk.state(JOB)["requested_by"] == "bob"
    for by in ("ann", "bob"):
        assert told(approve(desk, by), "BrakeApproved") == {}


def test_nobody_cancels_it_and_a_policy_that_is_set_right_completes_it() -> None:
    desk = braked()

    desk.ask("cancel", {"job": JOB}, requested_by="ann")
    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "wrong_state")
    tell(desk, "lifted", at=5)

    state = desk.state(JOB)
    assert (state["state"], state["text"]) == (
        "completed",
        "nothing exceeds a limit any more: nothing was decided by this",
    )


def test_the_next_time_it_is_another_job() -> None:
    desk = braked()
    tell(desk, "lifted", at=5)

    tell(desk, "braked", at=6, said=plan(95, "d4"))

    assert desk.state("brake:messages:2")["state"] == "braked"
    assert desk.state(JOB)["state"] == "completed"


def test_what_is_told_late_or_of_no_brake_changes_nothing() -> None:
    desk = braked()
    before = desk.state(JOB)

    tell(desk, "lifted", at=0)
    tell(desk, "lifted", TWO, at=9)

    assert desk.state(JOB) == before


def test_each_turn_is_told_to_the_audit_log() -> None:
    desk = braked()
    approve(desk)
    tell(desk, "approved", at=2, said=plan())
    tell(desk, "done", at=3)

    turns = [one["facts"] for one in desk.audited if one["kind"] == "job" and '"brake"' in one["facts"]]

    assert [turn.split('"state":"')[1].split('"')[0] for turn in turns] == [
        "braked",
        "planning",
        "running",
        "completed",
    ]
