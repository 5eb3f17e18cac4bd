"""What is asked for wrongly is refused by its own code, and changes nothing but that it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from ebbtide.envelope import seal_subjects, sign
from schemas.topics import OWN_NUDGE_KEY
from tests.support.desk import ORG, SEALING_KEY, SEED, TOPICS, Desk, reasons

NAME = {"confirm_org_name": "Acme Boats"}
MOVES = ["cancel", "restore", "pause", "resume", "approve", "verify", "deny", "extend"]
MORE = {"deny": {"reason": "no_match"}, "extend": {"reason": "complexity"}}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def kept(desk: Desk) -> dict[bytes, bytes]:
    """Return all rows but those that say that something was asked: jobs, their count, timers to forget them, time."""
    return {key: raw for key, raw in desk.store.rows().items() if key[:1] not in b"jntc"}


def refused(desk: Desk, record: Mapping[str, Any]) -> str:
    """Send a request that must be refused; return the reason."""
    before, timers = kept(desk), {key for key in desk.store.rows() if key[:1] == b"t" and key[9:10] != b"f"}

    sends = desk.send(record)

    assert {send.topic for send in sends} == {TOPICS.request_status}
    assert kept(desk) == before
    assert {key for key in desk.store.rows() if key[:1] == b"t" and key[9:10] != b"f"} == timers
    state = desk.state(record["request_id"])
    assert (state["state"], state["deadline"], state["detail"]) == ("refused", 0, {})
    return str(state["reason"])


@pytest.mark.parametrize(
    ("kind", "body", "subjects", "reason"),
    [
        ("delete", {"confirm_org_name": "Acme Bats"}, (), "wrong_org_name"),
        ("delete", {"confirm_org_name": ""}, (), "wrong_org_name"),
        ("delete", {**NAME, "grace_days": 31}, (), "bad_body"),
        ("delete", {**NAME, "grace_days": -1}, (), "bad_body"),
        ("delete", {**NAME, "keep": True}, (), "bad_body"),
        ("delete", NAME, ("u-1",), "bad_body"),
        ("export", {"format": "xml"}, (), "bad_body"),
        ("export", {"format": ["json"]}, (), "bad_body"),
        ("export", {"regime": "lgpd"}, (), "bad_body"),
        ("export", {"categories": ["messages"]}, (), "bad_body"),
        ("erase", {"regime": "lgpd"}, ("u-1",), "bad_body"),
        ("erase", {"categories": ["dreams"]}, ("u-1",), "unknown_category"),
        ("erase", {}, (), "bad_subjects"),
        *((kind, {"job": "nothing", **MORE.get(kind, {})}, (), "unknown_job") for kind in MOVES),
        *((kind, {"job": "not a job", **MORE.get(kind, {})}, (), "bad_body") for kind in MOVES),
        *((kind, {"job": "r-1", "by": "me", **MORE.get(kind, {})}, (), "bad_body") for kind in MOVES),
    ],
)
def test_it_is_refused_by_its_code_and_nothing_is_changed(
    desk: Desk, kind: str, body: Mapping[str, Any], subjects: tuple[str, ...], reason: str
) -> None:
    assert refused(desk, desk.request(kind, body, subjects=subjects)) == reason


def test_a_grace_that_does_not_fit_before_the_deadline_is_refused(desk: Desk) -> None:
    desk.now = int(datetime(2027, 2, 1, tzinfo=UTC).timestamp() * 1000)

    assert refused(desk, desk.request("delete", {**NAME, "grace_days": 29})) == "bad_body"


@pytest.mark.parametrize("kind", ["erase", "export", "hold"])
@pytest.mark.parametrize("subjects", [["s" * 10_000], [f"u-{n}" for n in range(10_000)]], ids=["long", "many"])
def test_subjects_that_are_too_long_or_too_many_are_refused_also_from_who_checks_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str, subjects: list[str]
) -> None:
    body = {"hold_id": "h-1"} if kind == "hold" else {}
    record = desk.request(kind, body, subjects=["u-1"])
    monkeypatch.setattr("ebbtide.envelope.MAX_SUBJECTS", 10**6)
    monkeypatch.setattr("ebbtide.envelope.MAX_ID_BYTES", 10**6)
    sealed = seal_subjects(subjects, SEALING_KEY, org=ORG, request_id=record["request_id"])
    monkeypatch.undo()

    assert refused(desk, sign({**record, "sealed": sealed}, SEED)) == "bad_subjects"


@pytest.mark.parametrize("kind", MOVES)
def test_another_orgs_job_is_no_job(desk: Desk, kind: str) -> None:
    """Jobs of two orgs lie in one partition here; an org names its own alone."""
    desk.store.put(b"jglobex\0theirs", b"{}")

    assert refused(desk, desk.request(kind, {"job": "theirs", **MORE.get(kind, {})})) == "unknown_job"


def test_a_forged_and_a_replayed_request_change_nothing(desk: Desk) -> None:
    record = desk.request("export")
    forged = desk.send({**record, "signature": bytes(64)})
    asked = desk.send(record)
    before = {key: raw for key, raw in desk.store.rows().items() if key != b"c"}

    again = desk.send(record)

    assert reasons(forged) == ["bad_signature"]
    assert any(send.topic == TOPICS.ledger for send in asked)
    assert [send.topic for send in again] == [TOPICS.request_status]
    assert {key: raw for key, raw in desk.store.rows().items() if key != b"c"} == before


def test_a_nudge_among_orgs_is_nothing_at_all_and_any_other_tombstone_is_a_dead_letter(desk: Desk) -> None:
    before = dict(desk.store.rows())

    nudge = desk.raw(TOPICS.orgs, b"", OWN_NUDGE_KEY)
    after = dict(desk.store.rows())
    tombstone = desk.raw(TOPICS.orgs, b"", b"acme")

    assert (nudge, after) == ([], before)
    assert {send.topic for send in tombstone} == {TOPICS.dead_letters}
