"""Rectifications: checked, closed, told to every shard, followed to the last record, and then forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.jobs import PART_COUNTS
from schemas.subjects import pack_refs
from schemas.values import ValuesSeal
from streams.coordinator.deadlines import gdpr
from streams.reducer import Send
from tests.support.desk import HOME, MASTER, ORG, RULES, SUBJECTS, Desk, ordered, told

VALUES = {"conversations": {"name": "Ada Byron", "email": None}}
SEAL = ValuesSeal.of(MASTER)
BOTH = replace(
    RULES.categories["messages"], targets=("crm", "feed"), rectify={"crm": ("name", "email"), "feed": ("name",)}
)
RULES_OF_BOTH = replace(RULES, categories={**RULES.categories, "messages": BOTH})


@pytest.fixture
def desk() -> Desk:
    return open_desk()


def open_desk(shards: int = 1, **rules: Any) -> Desk:
    made = Desk(replace(RULES_OF_BOTH, **rules))
    made.org(shards=shards)
    return made


def ask(desk: Desk, body: Mapping[str, Any] | None = None, **more: Any) -> list[Send]:
    return desk.ask("rectify", body or {}, **{"subjects": ["u-1"], "values": VALUES, **more})


def answer(desk: Desk, version: int, *, partition: int = HOME, epoch: int = 1, **said: Any) -> list[Send]:
    return desk.answer("ordered", partition, ordered(**said), version=version, epoch=epoch)


def test_every_shard_is_told_whose_records_and_gets_the_values_closed() -> None:
    desk = open_desk(4)

    commands = told(ask(desk, {"records": ["m-1"]}, subjects=["u-2", "u-1"]), "OrderRecords")

    assert len(commands) > 1
    for command in commands.values():
        assert (command["action"], command["request_id"], command["epoch"]) == ("rectify", desk.last, 1)
        assert command["subjects"] == pack_refs(SUBJECTS.refs(ORG, ["u-1", "u-2"]))
        assert command["records"] == ["m-1"]
        (part,) = command["parts"]
        assert (part["category"], part["targets"]) == ("messages", ["crm", "feed"])
        place = {"org": ORG, "request_id": desk.last, "category": "messages"}
        assert SEAL.open(part["sealed"], **place) == VALUES["conversations"]
    state = desk.state()
    assert (state["state"], state["deadline"]) == ("planning", gdpr(state["requested_at"]))
    assert state["detail"]["fields"] == {"messages": ["email", "name"]}


def test_a_target_without_any_of_the_fields_is_not_asked_and_the_job_says_so(desk: Desk) -> None:
    (command,) = told(ask(desk, values={"messages": {"email": "a@b.example"}}), "OrderRecords").values()

    assert command["parts"][0]["targets"] == ["crm"]
    assert desk.state()["detail"]["cannot"] == {"messages": ["feed"]}


def test_nothing_of_the_values_is_in_any_state_row_or_message(desk: Desk) -> None:
    ask(desk)

    assert not any(b"Byron" in raw for raw in desk.store.rows().values())
    assert not any(b"Byron" in (send.value or b"") for send in desk.log)


def test_a_job_follows_its_shards_and_forgets_the_values_at_its_end(desk: Desk) -> None:
    ask(desk)
    answer(desk, 1, listed=False, over=False)
    first = desk.state()["state"]
    answer(desk, 3, over=False, crm={"due": 5, "done": 2, "changed": 2})
    answer(desk, 2, over=False, crm={"due": 9})  # an older one
    second = desk.state()
    kept = [raw for raw in desk.store.rows().values() if b'"sealed"' in raw]
    answer(desk, 4, crm={"due": 5, "done": 5, "changed": 4})

    assert (first, second["state"]) == ("running", "awaiting_acks")
    none = {**dict.fromkeys(PART_COUNTS, 0), "blocked_by": ""}
    assert second["parts"] == [{**none, "partition": HOME, "target": "crm", "due": 5, "done": 2, "changed": 2}]
    assert kept
    assert (desk.state()["state"], desk.state()["detail"]["left"]) == ("completed", {})
    assert not any(b'"sealed"' in raw for raw in desk.store.rows().values())


def test_what_was_left_as_it_was_is_counted_by_why_and_where(desk: Desk) -> None:
    ask(desk)
    crm = {"due": 9, "done": 3, "changed": 3, "failed": 1, "hold": 2, "going": 3}
    answer(desk, 1, crm=crm, feed={"due": 4, "cannot": 4})

    state = desk.state()
    assert state["state"] == "completed_with_exceptions"
    assert state["detail"]["left"] == {"crm": {"failed": 1, "going": 3, "hold": 2}, "feed": {"cannot": 4}}
    assert state["text"] == (
        "2 records are under a legal hold and stay as they are; 3 records are on their way to be erased; "
        "4 records are where it cannot be done; 1 records are refused by their store: see `left`"
    )
    assert [part["withheld"] for part in state["parts"]] == [5, 4]


def test_all_shards_must_have_answered() -> None:
    desk = open_desk(4)
    places = sorted(told(ask(desk), "OrderRecords"))

    for partition in places[:-1]:
        answer(desk, 1, partition=partition, crm={"due": 1, "done": 1})
    before = desk.state()
    answer(desk, 1, partition=places[-1])

    assert (before["state"], before["detail"]["answered"]) == ("planning", len(places) - 1)
    assert desk.state()["state"] == "completed"


def test_a_shard_that_is_ahead_is_asked_anew(desk: Desk) -> None:
    ask(desk)
    again = desk.answer("ordered", HOME, {}, error="of an epoch behind what is known here", epoch=0, version=0)

    assert told(again, "OrderRecords")[HOME]["parts"][0]["sealed"]


def test_it_waits_for_identity_and_for_approval_like_an_erasure() -> None:
    desk = open_desk(verify_identity=True, approval_over=1)
    sends = ask(desk, subjects=["u-1", "u-2"])
    job = desk.last
    assert (told(sends, "OrderRecords"), desk.state(job)["state"]) == ({}, "verifying_identity")

    verified = desk.ask("verify", {"job": job})
    waiting = desk.state(job)["state"]
    approved = desk.ask("approve", {"job": job}, requested_by="bob")

    assert (told(verified, "OrderRecords"), waiting) == ({}, "awaiting_approval")
    assert told(approved, "OrderRecords")[HOME]["parts"][0]["sealed"]


@pytest.mark.parametrize(("kind", "body"), [("cancel", {}), ("deny", {"reason": "no_match"})])
def test_one_that_is_not_carried_out_forgets_its_values(kind: str, body: dict[str, str]) -> None:
    desk = open_desk(verify_identity=True)
    ask(desk)
    job = desk.last

    desk.ask(kind, {"job": job, **body})

    assert desk.state(job)["state"] in ("cancelled", "refused")
    assert not any(b'"sealed"' in raw for raw in desk.store.rows().values())


def test_one_that_was_told_can_only_be_seen_to_its_end(desk: Desk) -> None:
    ask(desk)

    desk.ask("cancel", {"job": desk.last})

    assert desk.state()["reason"] == "wrong_state"


@pytest.mark.parametrize("body", [{}, {"listed": True, "over": True, "targets": {"crm": {"due": -1}}}])
def test_an_answer_that_is_none_becomes_a_dead_letter(desk: Desk, body: dict[str, Any]) -> None:
    ask(desk)

    sends = desk.answer("ordered", HOME, body)

    assert desk.state()["state"] == "planning"
    assert len(sends) == 1
