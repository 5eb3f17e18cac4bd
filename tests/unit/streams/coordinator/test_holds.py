"""Legal holds: in force when every shard says so, several at once, ended a grace after their release."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.reducer import Send
from tests.support.desk import HOME, ORG, SUBJECTS, TOPICS, Desk, read, told


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org(shards=4)
    return made


def place(desk: Desk, hold_id: str = "case-1", subjects: tuple[str, ...] = (), **body: Any) -> list[int]:
    """Place a hold and return the partitions that were told."""
    return sorted(told(desk.ask("hold", {"hold_id": hold_id, **body}, subjects=subjects), "HoldPlaced"))


def answer_all(desk: Desk, shards: list[int], kind: str = "hold", body: dict[str, Any] | None = None) -> list[Send]:
    sends: list[Send] = []
    for partition in shards:
        sends += desk.answer(kind, partition, body, request_id="case-1")
    return sends


def hold_states(sends: list[Send]) -> list[str | None]:
    return [read(s)["state"] if s.value else None for s in sends if s.topic == TOPICS.holds]


def test_a_hold_is_in_force_when_every_shard_has_answered(desk: Desk) -> None:
    shards = place(desk)

    part, rest = answer_all(desk, shards[:-1]), answer_all(desk, shards[-1:])

    assert len(shards) > 1
    assert hold_states(part) == []
    assert hold_states(rest) == ["in_force"]
    assert desk.states() == ["planning", *["running"] * (len(shards) - 1), "completed"]
    assert desk.state()["detail"] == {"hold_id": "case-1", "shards": len(shards), "answered": len(shards)}


def test_it_says_whom_it_concerns_by_references_alone(desk: Desk) -> None:
    sends = desk.ask(
        "hold", {"hold_id": "case-1", "categories": ["conversations"], "grace_days": 5}, subjects=["u-1", "u-2", "u-1"]
    )

    command = next(iter(told(sends, "HoldPlaced").values()))
    assert command["subjects"] == pack_refs(SUBJECTS.refs(ORG, ["u-1", "u-2"]))
    assert (command["categories"], command["records"], command["grace_days"]) == (["messages"], [], 5)
    (shown,) = (s for s in sends if s.topic == TOPICS.holds)
    assert shown.key == b"acme/case-1"
    assert (read(shown)["state"], read(shown)["subjects"]) == ("requested", command["subjects"])


@pytest.mark.parametrize("body", [{}, {"records": ["m-1", "m-2"]}, {"categories": ["media"]}])
def test_it_may_concern_everyone_some_records_or_some_categories(desk: Desk, body: dict[str, Any]) -> None:
    command = next(iter(told(desk.ask("hold", {"hold_id": "case-1", **body}), "HoldPlaced").values()))

    assert command["subjects"] == b""
    assert (command["records"], command["categories"]) == (body.get("records", []), body.get("categories", []))


def test_several_hold_at_once_and_each_id_is_one_hold(desk: Desk) -> None:
    place(desk, "case-1")
    place(desk, "case-2")
    assert desk.state()["state"] == "planning"

    assert place(desk, "case-1") == []
    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "hold_exists")


@pytest.mark.parametrize(
    ("body", "subjects", "reason"),
    [
        ({"hold_id": "h", "records": ["m-1"]}, ("u-1",), "bad_body"),
        ({"hold_id": "h", "categories": ["dreams"]}, (), "unknown_category"),
        ({"hold_id": "h", "grace_days": 400}, (), "bad_body"),
    ],
)
def test_a_bad_hold_is_refused_and_placed_nowhere(
    desk: Desk, body: dict[str, Any], subjects: tuple[str, ...], reason: str
) -> None:
    sends = desk.ask("hold", body, subjects=subjects)

    assert [s.topic for s in sends] == [TOPICS.request_status]
    assert desk.state()["reason"] == reason


def test_a_hold_placed_before_its_org_is_known_opens_with_it_before_gateways_hear_of_it() -> None:
    desk = Desk()
    assert place(desk) == []
    assert (desk.state()["state"], "as soon as" in desk.state()["text"]) == ("planning", True)

    sends = desk.org()
    opened = desk.answer("opened", HOME)
    held = answer_all(desk, [HOME])

    assert list(told(sends, "HoldPlaced")) == [HOME]
    assert [s.topic for s in opened] == []
    assert TOPICS.routes in [s.topic for s in held]
    assert (desk.state()["state"], desk.state()["text"]) == ("completed", "")


def test_a_released_hold_ends_when_the_last_shards_grace_is_over_and_its_id_is_free_again(desk: Desk) -> None:
    shards = place(desk)
    answer_all(desk, shards)
    day = desk.now // DAY_MS

    sends = desk.ask("release", {"hold_id": "case-1"})
    assert hold_states(sends) == ["released"]
    assert sorted(told(sends, "HoldReleased")) == shards
    for late, partition in enumerate(shards):
        assert desk.state()["state"] == "planning"
        desk.answer("released", partition, {"ends_day": day + 30 + (late == 0)}, request_id="case-1")
    assert (desk.state()["state"], desk.state()["detail"]["ends_day"]) == ("completed", day + 31)

    assert hold_states(desk.pass_days(30)) == []
    assert place(desk) == []
    assert hold_states(desk.pass_days(1.1)) == [None]
    assert place(desk) == shards


def test_a_shard_that_came_after_the_release_keeps_the_hold_until_its_own_grace_is_over() -> None:
    desk = Desk()
    desk.org()
    day = desk.now // DAY_MS
    answer_all(desk, place(desk))
    desk.ask("release", {"hold_id": "case-1"})
    desk.answer("released", HOME, {"ends_day": day + 30}, request_id="case-1")
    for partition in told(desk.org(shards=4), "HoldReleased"):
        desk.answer("released", partition, {"ends_day": day + 40}, request_id="case-1", epoch=2)

    assert hold_states(desk.pass_days(39)) == []
    assert hold_states(desk.pass_days(2)) == [None]


@pytest.mark.parametrize("hold_id", ["case-2", "case-1"], ids=["never placed", "released before"])
def test_a_release_of_no_hold_is_refused(desk: Desk, hold_id: str) -> None:
    place(desk)
    desk.ask("release", {"hold_id": "case-1"})

    desk.ask("release", {"hold_id": hold_id})

    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "unknown_hold")


def test_a_hold_that_is_released_before_it_was_in_force_ends_its_job_and_says_so(desk: Desk) -> None:
    shards = place(desk)
    placed = desk.last
    answer_all(desk, shards[:1])

    desk.ask("release", {"hold_id": "case-1"})
    answer_all(desk, shards)

    assert desk.state(placed)["state"] == "completed_with_exceptions"
    assert "released before" in desk.state(placed)["text"]


def test_a_shard_with_an_older_epoch_is_sent_the_hold_anew(desk: Desk) -> None:
    shards = place(desk)
    desk.org(shards=8)

    sends = desk.answer("hold", shards[0], request_id="case-1", epoch=1, error="behind")
    same = desk.answer("hold", shards[0], request_id="case-1", epoch=2, error="no such org")

    assert {p: c["epoch"] for p, c in told(sends, "HoldPlaced").items()} == {shards[0]: 2}
    assert told(same, "HoldPlaced") == {}
    assert desk.state()["text"] == f"partition {shards[0]}: no such org"


def test_answers_nobody_waits_for_change_nothing(desk: Desk) -> None:
    place(desk)
    before = desk.store.rows()

    for kind, request_id in (("hold", "case-9"), ("released", "case-1"), ("erase", "r-9"), ("preview", "r-9")):
        bodies = {
            "released": {"ends_day": 1},
            "erase": {"scanned": True, "found": 0},
            "preview": {"as_of_day": 1, "categories": {}},
        }
        desk.answer(kind, HOME, bodies.get(kind), request_id=request_id)

    assert desk.store.rows() == before
