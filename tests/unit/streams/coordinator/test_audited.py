"""Every state of a job, every policy, hold and refusal is told to the audit log, in the entry that makes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ebbtide.partition import partition_of
from tests.support.desk import HOME, ORG, PARTITIONS, RULES, SUBJECTS, TOPICS, Desk, erasure


def told(desk: Desk, *kinds: str) -> list[tuple[str, dict[str, Any], dict[str, list[str]]]]:
    """Return org, facts and sealed values of what was told, of these kinds."""
    found = []
    for one in desk.audited:
        sealed: dict[str, list[str]] = {}
        for value in one["sealed"]:
            sealed.setdefault(value["field"], []).append(value["value"])
        if one["kind"] in kinds:
            found.append((one["org"], json.loads(one["facts"]), sealed))
    return found


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    made.audited.clear()
    return made


def test_an_erasure_is_told_from_its_request_to_its_end_and_people_only_sealed(desk: Desk) -> None:
    desk.ask("erase", subjects=["ada", "bob"])
    for partition in desk.home, *range(PARTITIONS):
        desk.answer("erase", partition, erasure(found=2, crm=(2, 2, 0)))

    jobs = told(desk, "job")
    refs = [ref.to_bytes(8, "little").hex() for ref in SUBJECTS.refs(ORG, ["ada", "bob"])]
    assert [(org, facts["job"], facts["from"], facts["state"]) for org, facts, _ in jobs] == [
        (ORG, "erase", "", "planning"),
        (ORG, "erase", "planning", "completed"),
    ]
    assert jobs[0][2] == {"request": ["r-1"], "requester": ["ann"], "subject": refs}
    assert jobs[1][2] == {"request": ["r-1"], "requester": ["ann"]}
    assert not any(word in json.dumps([facts for _, facts, _ in jobs]) for word in ("ada", "bob", "r-1", *refs))


def test_each_end_of_an_erasure_is_certified_with_what_the_ledgers_said(desk: Desk) -> None:
    desk.ask("erase", subjects=["ada", "bob"])
    for partition in desk.home, *range(PARTITIONS):
        desk.answer("erase", partition, erasure(found=2, crm=(2, 2, 0)))
    ((org, facts, sealed),) = told(desk, "certificate")
    status = desk.state("r-1")

    assert (org, sealed) == (ORG, {"request": ["r-1"], "requester": ["ann"]})
    assert (facts["job"]["state"], facts["job"]["version"]) == ("completed", status["version"])
    assert facts["scope"]["subjects"] == 2
    assert facts["targets"]["crm"]["done"] == sum(part["done"] for part in status["parts"])
    assert facts["exceptions"] == []


def test_what_was_not_erased_is_not_certified(desk: Desk) -> None:
    desk.ask("delete", {"confirm_org_name": "Acme Boats"})
    desk.ask("cancel", {"job": "r-1"})
    desk.ask("hold", {"hold_id": "case-1"})
    desk.ask("erase", {"categories": ["dreams"]}, subjects=["ada"])

    assert told(desk, "certificate") == []


def test_what_is_told_of_states_is_what_request_status_says(desk: Desk) -> None:
    desk.ask("hold", {"hold_id": "case-1"})
    desk.ask("policy", {"settings": [{"category": "messages", "period": "30 d"}]})
    desk.ask("policy", {"settings": [{"category": "nothing", "period": "30 d"}]})
    desk.ask("delete", {"confirm_org_name": "Acme Boats"})
    desk.ask("cancel", {"job": "r-4"})

    jobs = told(desk, "job")
    for number in range(1, 6):
        name = f"r-{number}"
        states = [facts["state"] for _, facts, sealed in jobs if sealed["request"][0] == name]
        published = desk.states(name)
        assert states == [state for n, state in enumerate(published) if n == 0 or state != published[n - 1]]
    refused = [facts["reason"] for _, facts, _ in jobs if facts["state"] == "refused"]
    assert refused == ["unknown_category"]
    assert jobs[-1][2]["request"] == ["r-5", "r-4"] or jobs[-2][2]["request"] == ["r-5", "r-4"]


def test_policies_and_locks_are_told_once_each_with_their_settings(desk: Desk) -> None:
    desk.ask("policy", {"settings": [{"category": "messages", "period": "30 d"}]})
    desk.ask("lock", {"until_day": desk.now // 86_400_000 + 10})

    policies = told(desk, "policy")
    assert [(facts["version"], facts["locked_until"] > 0) for _, facts, _ in policies] == [(1, False), (2, True)]
    assert policies[0][1]["settings"][0]["period"] == "30 d"
    assert policies[0][2] == {"request": ["r-1"], "requester": ["ann"]}


def test_a_hold_is_told_from_its_request_to_its_end(desk: Desk) -> None:
    desk.ask("hold", {"hold_id": "case-1", "grace_days": 0}, subjects=["ada"])
    shards = [partition for partition in range(PARTITIONS) if partition in json.loads(desk_hold(desk))]
    for partition in shards:
        desk.answer("hold", partition, request_id="case-1")
    desk.ask("release", {"hold_id": "case-1"})
    for partition in shards:
        desk.answer("released", partition, {"ends_day": desk.now // 86_400_000}, request_id="case-1")
    desk.pass_days(2)

    holds = told(desk, "hold")
    assert [facts["state"] for _, facts, _ in holds] == ["requested", "in_force", "released", "over"]
    assert [len(sealed.get("subject", [])) for _, _, sealed in holds] == [1, 0, 0, 0]
    assert all(sealed["hold"] == ["case-1"] for _, _, sealed in holds)


def desk_hold(desk: Desk) -> str:
    """Return the shards of the org, as JSON."""
    return json.dumps(sorted({s.partition for s in desk.log if s.topic == TOPICS.ledger and s.partition >= 0}))


def test_a_refusal_that_leaves_no_state_is_the_installation_s_affair(desk: Desk) -> None:
    forged = desk.request("erase", subjects=["ada"]) | {"signature": b"x" * 64}
    desk.send(forged)

    assert [(org, facts["reason"]) for org, facts, _ in told(desk, "refused")] == [("", "bad_signature")]
    assert told(desk, "job") == []
    assert "ada" not in str(desk.audited)


def test_rules_are_told_by_one_partition_alone() -> None:
    here = Desk(None)
    home = partition_of(b"", PARTITIONS)
    there = next(Desk(None, org=f"o{n}") for n in range(100) if partition_of(f"o{n}".encode(), PARTITIONS) == home)

    for desk in (here, there):
        desk.rules(paused=True)

    assert home != HOME
    assert told(here, "rules") == []
    ((org, facts, _),) = told(there, "rules")
    assert (org, facts["version"], facts["paused"], facts["hash"] != "") == ("", RULES.version, True, True)


def test_the_same_request_again_changes_nothing_and_is_not_told_again(desk: Desk) -> None:
    asked = desk.request("policy", {"settings": []})
    desk.send(asked)
    before = len(desk.audited)

    desk.send(asked)

    assert len(desk.audited) == before
