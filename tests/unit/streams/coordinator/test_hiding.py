"""A deletion hides what it concerns while its grace runs; whoever calls it off is told when all of it is visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ebbtide.partition import ledger_partition
from streams.reducer import Send
from tests.support.desk import HOME, ORG, PARTITIONS, RULES, TOPICS, Desk, category, erasure, read, told

NAME = {"confirm_org_name": "Acme Boats"}
FIRST_SHARD = ledger_partition(ORG, 0, PARTITIONS)
ALL = ["logs.audit", "media", "media.thumbs", "messages"]


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def order(sends: Sequence[Send]) -> dict[str, Any]:
    """Return the one order among `sends`; that it goes to the org's first shard alone."""
    ((partition, found),) = told(sends, "Hide").items()
    assert partition == FIRST_SHARD
    return found


def test_everything_is_hidden_when_the_grace_begins_and_the_job_shows_how_far_that_is(desk: Desk) -> None:
    sends = desk.ask("delete", NAME, request_id="deletion")
    waits = desk.state("deletion")["detail"]["hidden"]
    desk.hidden(1, "deletion", waiting=["media"])
    halfway = desk.state("deletion")["detail"]["hidden"]["crm"]
    desk.hidden(1, "deletion", version=2, rows=12)

    said = order(sends)
    assert (said["action"], said["number"], said["request_id"]) == ("hide", 1, "deletion")
    assert said["parts"] == [{"category": name, "targets": ["crm"]} for name in ALL]
    assert desk.now * 1000 - 10**7 < said["stamp"] < desk.now * 1000 + 1000
    assert waits == {"crm": {"rows": 0, "failed": 0, "waiting": ALL, "cannot": []}}
    assert (halfway["rows"], halfway["waiting"]) == (9, ["media"])
    assert desk.state("deletion")["detail"]["hidden"]["crm"] == {
        "rows": 12,
        "failed": 0,
        "waiting": [],
        "cannot": ["logs.audit"],
    }
    assert desk.state("deletion")["state"] == "grace"


def test_media_that_is_kept_is_not_hidden_either_and_the_job_says_so_from_the_start(desk: Desk) -> None:
    sends = desk.ask("delete", {**NAME, "delete_media": False}, request_id="deletion")

    assert [part["category"] for part in order(sends)["parts"]] == ["logs.audit", "messages"]
    assert desk.state("deletion")["detail"]["media"] == "kept"
    assert desk.state("deletion")["detail"]["kept_categories"] == ["media", "media.thumbs"]


def test_media_under_another_name_is_kept_as_well() -> None:
    categories = {name: rules for name, rules in RULES.categories.items() if "media" not in name}
    categories |= {"files": category("files"), "files.small": category("files.small", "", "files")}
    desk = Desk(replace(RULES, categories=categories, aliases={"media": "files"}))
    desk.org()

    sends = desk.ask("delete", {**NAME, "delete_media": False}, request_id="deletion")
    over = desk.pass_days(7.1)

    assert [part["category"] for part in order(sends)["parts"]] == ["logs.audit", "messages"]
    assert told(over, "Erase")[HOME]["categories"] == ["logs.audit", "messages"]
    assert desk.state("deletion")["detail"]["kept_categories"] == ["files", "files.small"]


@pytest.mark.parametrize("holds_records", [False, True])
def test_media_below_another_category_are_kept_apart_from_it_or_nothing_is_done(holds_records: bool) -> None:
    above = category("content") if holds_records else replace(category("content"), targets=())
    categories = {
        "content": above,
        "messages": category("messages", parent="content"),
        "media": category("media", parent="content"),
    }
    desk = Desk(replace(RULES, categories=categories, aliases={}))
    desk.org()

    desk.ask("delete", {**NAME, "delete_media": False}, request_id="deletion")
    sends = desk.pass_days(7.1)

    if holds_records:
        assert desk.state("deletion")["reason"] == "bad_body"
        assert "media are below content" in desk.state("deletion")["text"]
        assert [send for send in desk.log if send.topic == TOPICS.ledger and _name(send) == "Hide"] == []
    else:
        assert told(sends, "Erase")[HOME]["categories"] == ["messages"]


def test_a_data_map_that_changes_during_the_grace_changes_nothing_of_what_was_said_to_be_kept(desk: Desk) -> None:
    desk.ask("delete", {**NAME, "delete_media": False}, request_id="deletion")
    before = desk.state("deletion")["detail"]["kept_categories"]
    moved = {
        "messages": category("messages"),
        "media": category("media", "365 d"),
        "media.thumbs": category("media.thumbs"),  # no media any more
        "logs.audit": category("logs.audit", "7 years", "media"),  # now it is
        "media.new": category("media.new", "", "media"),
    }
    desk.rules(version=2, categories=moved)

    sends = desk.pass_days(7.1)

    assert before == ["media", "media.thumbs"]
    assert told(sends, "Erase")[HOME]["categories"] == ["logs.audit", "messages"]
    assert desk.state("deletion")["detail"]["kept_categories"] == ["media", "media.new", "media.thumbs"]


def test_what_is_hidden_is_erased_although_the_data_map_has_it_no_more(desk: Desk) -> None:
    desk.ask("delete", {**NAME, "delete_media": False}, request_id="deletion")
    desk.rules(version=2, categories={n: c for n, c in RULES.categories.items() if n != "logs.audit"})

    sends = desk.pass_days(7.1)

    assert told(sends, "Erase")[HOME]["categories"] == ["logs.audit", "messages"]


def test_nothing_is_hidden_without_a_grace_or_before_an_approval() -> None:
    desk = Desk(replace(RULES, approve_deletes=True))
    desk.org()
    asked = desk.ask("delete", NAME, request_id="deletion")
    approved = desk.ask("approve", {"job": "deletion"}, requested_by="bob")
    desk.ask("cancel", {"job": "deletion"})
    desk.hidden(2, "deletion")
    desk.ask("delete", {**NAME, "grace_days": 0}, request_id="at-once")

    at_once = desk.ask("approve", {"job": "at-once"}, requested_by="bob")

    assert told(asked, "Hide") == {}
    assert order(approved)["action"] == "hide"
    assert told(at_once, "Hide") == {}
    assert told(at_once, "Erase") != {}


@pytest.mark.parametrize("kind", ["cancel", "restore"])
@pytest.mark.parametrize("paused", [False, True])
def test_calling_it_off_brings_everything_back_and_is_done_when_every_target_has_answered(
    desk: Desk, kind: str, paused: bool
) -> None:
    hide = order(desk.ask("delete", NAME, request_id="deletion"))
    desk.hidden(1, "deletion")
    if paused:
        desk.ask("pause", {"job": "deletion"})

    sends = desk.ask(kind, {"job": "deletion"}, request_id="back")
    at_once = desk.state("deletion")["state"], desk.state("back")["state"]
    desk.hidden(2, "deletion", waiting=["messages"])
    halfway = desk.state("back")
    desk.hidden(2, "deletion", version=2)
    later = desk.pass_days(40)

    unhide = order(sends)
    assert (unhide["action"], unhide["number"], unhide["stamp"]) == ("unhide", 2, hide["stamp"])
    assert unhide["parts"] == hide["parts"]
    assert at_once == ("cancelled", "planning")
    assert (halfway["state"], halfway["detail"]["visible"]["crm"]["waiting"]) == ("planning", ["messages"])
    assert desk.states("back") == ["planning", "planning", "completed"]
    assert desk.state("back")["detail"]["state"] == "cancelled"
    assert "hidden" not in desk.state("deletion")["detail"]
    assert desk.state("deletion")["detail"]["visible"]["crm"]["waiting"] == []
    assert [send for send in later if send.topic == TOPICS.ledger] == []


def test_what_was_hidden_and_cannot_be_brought_back_is_never_told_as_visible(desk: Desk) -> None:
    desk.ask("delete", NAME, request_id="deletion")
    desk.hidden(1, "deletion")
    desk.ask("restore", {"job": "deletion"}, request_id="back")
    said = {"crm": {"rows": 3, "failed": 0, "waiting": [], "cannot": ["logs.audit", "messages"]}}  # audit never could

    desk.answer("hidden", FIRST_SHARD, {"number": 2, "action": "unhide", "targets": said}, request_id="deletion")

    assert desk.state("back")["state"] == "completed_with_exceptions"
    assert "crm: messages" in desk.state("back")["text"]
    assert desk.state("back")["detail"]["visible"]["crm"]["cannot"] == ["logs.audit", "messages"]


def test_no_other_deletion_begins_before_all_is_visible_and_then_its_hide_is_another(desk: Desk) -> None:
    first = order(desk.ask("delete", NAME, request_id="deletion"))
    desk.ask("restore", {"job": "deletion"})
    desk.ask("delete", NAME)
    refused = desk.state()
    desk.hidden(2, "deletion")

    second = order(desk.ask("delete", NAME, request_id="another"))

    assert (refused["reason"], "comes back" in refused["text"]) == ("under_way", True)
    assert second["number"] == 3
    assert second["stamp"] > first["stamp"]


def test_when_the_grace_is_over_the_hide_is_settled_before_the_erasure(desk: Desk) -> None:
    hide = order(desk.ask("delete", {**NAME, "grace_days": 2}, request_id="deletion"))
    desk.hidden(1, "deletion")

    sends = desk.pass_days(2.1)
    desk.hidden(2, "deletion", rows=0)
    desk.answer("erase", HOME, erasure(found=9, crm=(9, 9, 0)), request_id="deletion")

    settle = order(sends)
    assert (settle["action"], settle["stamp"]) == ("settle", hide["stamp"])
    names = [desk_name for send in sends if (desk_name := _name(send)) in ("Hide", "Erase")]
    assert names == ["Hide", "Erase"]
    assert desk.state("deletion")["state"] == "completed"
    assert desk.state("deletion")["detail"]["hidden"]["crm"]["rows"] == 9


def _name(send: Send) -> str:
    return "" if send.topic != TOPICS.ledger else "Hide" if "parts" in read(send) else "Erase"


def test_a_restore_after_the_grace_is_refused_by_that_name(desk: Desk) -> None:
    desk.ask("delete", {**NAME, "grace_days": 0}, request_id="deletion")
    desk.ask("restore", {"job": "deletion"})
    running = desk.state()
    desk.answer("erase", HOME, erasure(), request_id="deletion")
    desk.ask("restore", {"job": "deletion"})

    assert (running["state"], running["reason"]) == ("refused", "grace_over")
    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "grace_over")


def test_only_a_deletion_that_has_hidden_something_can_be_restored() -> None:
    desk = Desk(replace(RULES, approve_deletes=True))
    desk.org()
    desk.ask("erase", subjects=["u-1"], request_id="people")
    desk.ask("delete", NAME, request_id="deletion")

    for job in ("people", "deletion"):
        desk.ask("restore", {"job": job})
        assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "wrong_state")


def test_answers_to_an_older_order_or_of_an_older_version_change_nothing(desk: Desk) -> None:
    desk.ask("delete", NAME, request_id="deletion")
    desk.hidden(1, "deletion", version=5)
    desk.ask("cancel", {"job": "deletion"}, request_id="back")
    desk.hidden(2, "deletion", version=3, waiting=["media"])
    before = desk.state("back")

    desk.hidden(1, "deletion", version=9)
    desk.hidden(2, "deletion", version=2)

    assert desk.state("back") == before
    assert before["state"] == "planning"


def test_growth_changes_nothing_since_the_first_shard_stays_the_first(desk: Desk) -> None:
    desk.ask("delete", NAME, request_id="deletion")
    desk.org(shards=8)

    sends = desk.ask("restore", {"job": "deletion"})

    assert order(sends)["action"] == "unhide"


@pytest.mark.parametrize(
    ("asked", "days", "fits"),
    [
        (datetime(2026, 7, 10, tzinfo=UTC), 30, True),
        (datetime(2027, 1, 31, tzinfo=UTC), 28, True),
        (datetime(2027, 1, 31, tzinfo=UTC), 29, False),
        (datetime(2027, 2, 10, tzinfo=UTC), 28, True),
        (datetime(2027, 2, 10, tzinfo=UTC), 30, False),
    ],
)
def test_a_grace_that_ends_after_the_deadline_is_refused(desk: Desk, asked: datetime, days: int, fits: bool) -> None:
    desk.now = int(asked.timestamp() * 1000)

    sends = desk.ask("delete", {**NAME, "grace_days": days})

    assert bool(told(sends, "Hide")) == fits
    assert desk.state()["state"] == ("grace" if fits else "refused")
    assert fits or desk.state()["text"] == "grace_days: may be 28 at most, since all must be erased by then"


def test_an_org_without_targets_is_hidden_and_brought_back_at_once() -> None:
    nowhere = {name: replace(rules, targets=()) for name, rules in RULES.categories.items()}
    desk = Desk(replace(RULES, categories=nowhere))
    desk.org()
    asked = desk.ask("delete", NAME, request_id="deletion")

    desk.ask("cancel", {"job": "deletion"})

    assert told(asked, "Hide") == {}
    assert desk.state()["state"] == "completed"


def test_an_answer_of_another_form_is_a_dead_letter(desk: Desk) -> None:
    desk.ask("delete", NAME, request_id="deletion")

    sends = desk.answer("hidden", FIRST_SHARD, {"number": 1, "targets": {"crm": {"rows": "many"}}})

    assert [read(send)["reason"] for send in sends if send.topic == TOPICS.dead_letters] == ["bad_answer"]
