"""Who is believed: what is forged, replayed, too large or another's leaves a dead letter and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ebbtide.envelope import MAX_BODY_BYTES, MAX_REQUEST_BYTES, seal_subjects, sign
from ebbtide.wire import HEADER
from schemas.topics import DAY_MS
from streams.coordinator.work import KEPT_MS
from tests.support.desk import CODEC, MASTER, PORTAL, SEALING_KEY, SEED, TOPICS, Desk, reasons, told

SETTINGS = {"settings": [{"category": "messages", "period": "30 d"}]}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def unchanged(desk: Desk, act: Callable[[], Any]) -> Any:
    """Do something and check that no row but the clock's has changed."""
    before = {k: v for k, v in desk.store.rows().items() if k != b"c"}
    result = act()
    assert {k: v for k, v in desk.store.rows().items() if k != b"c"} == before
    return result


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": b"x" * 32}, "bad_signature"),
        ({"key_id": "stranger"}, "unknown_requester"),
        ({"key_id": "portal"}, "bad_signature"),
        ({"key_id": "portal", "seed": PORTAL}, ""),
        ({"key_id": "portal", "seed": PORTAL, "kind": "delete"}, "not_allowed"),
    ],
    ids=["forged", "stranger", "in another's name", "allowed", "another kind"],
)
def test_only_who_the_rules_name_is_believed_and_only_for_what_they_may(
    desk: Desk, change: dict[str, Any], reason: str
) -> None:
    given = {"kind": "policy", "body": SETTINGS} | change
    record = desk.request(**given)

    if reason:
        assert reasons(unchanged(desk, lambda: desk.send(record))) == [reason]
        assert desk.log[-1].topic == TOPICS.dead_letters
    else:
        assert reasons(desk.send(record)) == []


def test_a_requester_of_one_org_is_not_heard_for_another() -> None:
    desk = Desk(org="globex")
    desk.org()

    sends = desk.ask("policy", SETTINGS, key_id="portal", seed=PORTAL)

    assert reasons(sends) == ["not_allowed"]


def test_a_request_under_another_orgs_key_is_a_dead_letter(desk: Desk) -> None:
    record = desk.request("policy", SETTINGS)

    sends = unchanged(desk, lambda: desk.give(TOPICS.requests, "Request", record, key=b"globex"))

    assert reasons(sends) == ["org_mismatch"]


def test_nobody_is_heard_before_there_are_rules() -> None:
    desk = Desk(None)

    assert reasons(desk.ask("policy", SETTINGS)) == ["no_rules"]


@pytest.mark.parametrize("name", ["body", "org", "kind", "expires_at", "requested_by", "sealed"])
def test_nothing_can_be_changed_under_a_signature(desk: Desk, name: str) -> None:
    record = desk.request("policy", SETTINGS)
    was = record[name]
    changed = {**record, name: was + (1 if isinstance(was, int) else b"x" if isinstance(was, bytes) else "x")}

    sends = unchanged(desk, lambda: desk.send(changed))

    assert reasons(sends) == ["org_mismatch" if name == "org" else "bad_signature"]


def test_nothing_can_ride_beside_what_was_signed(desk: Desk) -> None:
    value = CODEC.encode("Request", desk.request("policy", SETTINGS))
    size = HEADER.size
    long_way_round = value[:size] + bytes((value[size] | 0x80, 0)) + value[size + 1 :]  # the same length, in two bytes

    assert CODEC.decode(long_way_round) == CODEC.decode(value)
    assert reasons(unchanged(desk, lambda: desk.raw(TOPICS.requests, long_way_round))) == ["undecodable"]


def test_a_message_of_megabytes_is_not_even_decoded(desk: Desk) -> None:
    value = CODEC.encode("Request", desk.request("policy", SETTINGS))

    assert reasons(desk.raw(TOPICS.requests, value + bytes(MAX_REQUEST_BYTES))) == ["oversized"]


def test_a_body_of_megabytes_is_refused_before_it_is_parsed(desk: Desk) -> None:
    record = desk.request("policy", SETTINGS)
    record = sign({**record, "body": json.dumps({"settings": "x" * MAX_BODY_BYTES})}, SEED)

    desk.send(record)

    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "bad_body")
    assert "body: has more than" in desk.state()["text"]


@pytest.mark.parametrize("request_id", ["", "x" * 129, "x" * 1_000_000, "a/b", "a\0b"])
def test_a_request_without_a_usable_id_is_a_dead_letter(desk: Desk, request_id: str) -> None:
    record = sign({**desk.request("policy", SETTINGS), "request_id": request_id}, SEED)

    assert reasons(unchanged(desk, lambda: desk.send(record))) == ["bad_request_id"]


def test_the_same_request_again_is_answered_with_its_present_state_and_does_nothing(desk: Desk) -> None:
    record = desk.request("policy", SETTINGS)
    desk.send(record)
    first = desk.state()

    again = unchanged(desk, lambda: desk.send(record))

    assert [s.topic for s in again] == [TOPICS.request_status]
    assert desk.state() == first | {"at": desk.now}


def test_another_request_under_the_same_id_is_a_dead_letter_and_the_first_ones_state_stays(desk: Desk) -> None:
    desk.ask("policy", SETTINGS, request_id="mine")
    first = desk.state("mine")

    sends = unchanged(desk, lambda: desk.ask("lock", {"until_day": 30_000}, request_id="mine"))

    assert reasons(sends) == ["id_reused"]
    assert desk.state("mine") == first


def test_a_refused_request_keeps_its_id(desk: Desk) -> None:
    desk.ask("policy", {"settings": []}, request_id="mine")

    assert reasons(desk.ask("policy", SETTINGS, request_id="mine")) == ["id_reused"]


def test_two_orgs_may_choose_the_same_id() -> None:
    other = Desk(org="acme-2")
    other.org()
    other.ask("policy", SETTINGS, request_id="mine")
    desk = Desk()
    desk.org()
    desk.ask("policy", SETTINGS, request_id="mine")

    keys = {s.key for d in (desk, other) for s in d.log if s.topic == TOPICS.request_status}

    assert keys == {b"acme/mine", b"acme-2/mine"}


def test_a_request_that_comes_at_its_end_or_later_is_refused(desk: Desk) -> None:
    record = desk.request("policy", SETTINGS, lifetime_s=10)
    desk.now = record["expires_at"] - 1

    unchanged_org = desk.store.get(b"oacme")
    desk.send(record)

    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "expired")
    assert desk.store.get(b"oacme") == unchanged_org


def test_a_request_that_comes_just_before_its_end_is_taken(desk: Desk) -> None:
    record = desk.request("policy", SETTINGS, lifetime_s=10)
    desk.now = record["expires_at"] - 2

    desk.send(record)

    assert desk.state()["state"] == "planning"


def test_an_old_request_played_again_never_writes_over_what_became_of_it(desk: Desk) -> None:
    record = desk.request("policy", SETTINGS)
    desk.send(record)
    desk.answer("policy", desk.home)
    done = desk.state()

    for days in (1, 8, 29, 2, 40):
        desk.pass_days(days)
        desk.send(record)
        assert desk.state()["state"] == "completed"

    assert desk.state() == done | {"at": desk.state()["at"]}
    assert reasons(desk.send(record)) == ["expired"]
    assert desk.store.get(b"jacme\0" + desk.last.encode()) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"expires_at": 8 * DAY_MS}, "expires_at"),
        ({"requested_at": 2 * 3_600_000}, "requested_at"),
    ],
    ids=["lives too long", "asked in the future"],
)
def test_times_that_no_honest_clock_shows_are_refused_by_name(desk: Desk, change: dict[str, int], named: str) -> None:
    record = desk.request("policy", SETTINGS)
    moved = {name: record["requested_at"] + ms for name, ms in change.items()}
    if "requested_at" in moved:
        moved["expires_at"] = moved["requested_at"] + 1000

    desk.send(sign({**record, **moved}, SEED))

    assert (desk.state()["reason"], desk.state()["text"][: len(named)]) == ("bad_body", named)


def test_an_unknown_kind_is_refused_and_its_name_is_not_repeated_at_length(desk: Desk) -> None:
    desk.ask("x" * 100_000)

    state = desk.state()

    assert (state["state"], state["reason"], state["kind"]) == ("refused", "unknown_kind", "")
    assert len(state["text"]) < 500


@pytest.mark.parametrize("kind", ["lock", "preview", "release", "erase", "delete", "cancel", "pause", "approve"])
def test_only_policy_and_hold_may_come_before_the_org_is_known(kind: str) -> None:
    desk = Desk()
    bodies = {
        "lock": {"until_day": 30_000},
        "release": {"hold_id": "h"},
        "delete": {"confirm_org_name": "Acme Boats"},
        "cancel": {"job": "r"},
        "pause": {"job": "r"},
        "approve": {"job": "r"},
    }

    desk.ask(kind, bodies.get(kind, {}), subjects=["u-1"] if kind == "erase" else ())

    assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "unknown_org")
    assert desk.store.get(b"oacme") is None


def test_subjects_sealed_for_another_request_or_engine_do_not_open(desk: Desk) -> None:
    stolen = desk.request("erase", subjects=["u-1"])["sealed"]
    foreign = seal_subjects(["u-1"], b"\x09" + bytes(31), org="acme", request_id="r-3")

    for number, sealed in ((2, stolen), (3, foreign)):
        record = desk.request("erase", subjects=["u-1"])
        assert record["request_id"] == f"r-{number}"
        sends = desk.send(sign({**record, "sealed": sealed}, SEED))
        assert told(sends, "Erase") == {}
        assert (desk.state()["reason"], "does not open" in desk.state()["text"]) == ("bad_subjects", True)


def test_no_raw_subject_id_is_kept_or_sent_anywhere(desk: Desk) -> None:
    desk.ask("erase", subjects=["someone@example.org"])
    desk.ask("hold", {"hold_id": "h"}, subjects=["someone@example.org"])

    everything = b"".join([*desk.store.rows().values(), *(s.value or b"" for s in desk.log)])

    assert b"someone" not in everything
    assert MASTER not in everything
    assert SEALING_KEY not in everything.replace(SEALING_KEY.hex().encode(), b"")


def test_a_request_may_be_forgotten_only_when_it_could_not_be_accepted_any_more() -> None:
    assert KEPT_MS > 7 * DAY_MS
