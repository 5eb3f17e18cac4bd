"""Erasures: of people at once, of an org after its grace; followed to the last acknowledgement, and never over."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from ebbtide.envelope import MAX_SUBJECTS, sign
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator.deadlines import ccpa, gdpr
from tests.support.desk import HOME, ORG, RULES, SEED, SUBJECTS, TOPICS, Desk, category, erasure, read, told

NAME = {"confirm_org_name": "Acme Boats"}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def ref(subject: str) -> str:
    return SUBJECTS.ref(ORG, subject).to_bytes(8, "little").hex()


def test_people_are_named_to_every_shard_by_references_and_nothing_else() -> None:
    desk = Desk()
    desk.org(shards=4)

    sends = desk.ask("erase", {"categories": ["media"]}, subjects=["u-2", "u-1", "u-2"])

    commands = told(sends, "Erase")
    assert len(commands) > 1
    for command in commands.values():
        assert command["subjects"] == pack_refs(SUBJECTS.refs(ORG, ["u-1", "u-2"]))
        assert not command["everyone"]
        assert command["categories"] == ["media", "media.thumbs"]  # with those below it
        assert command["through"] == desk.state()["requested_at"]
        assert command["request_id"] == desk.last


def test_a_job_goes_as_far_as_its_slowest_shard() -> None:
    desk = Desk()
    desk.org(shards=4)
    a, b = sorted(told(desk.ask("erase", subjects=["u-1"]), "Erase"))[:2]
    rest = [p for p in told(desk.log, "Erase") if p not in (a, b)]
    for partition in rest:
        desk.answer("erase", partition, erasure(), version=1)

    course = [
        (a, erasure(scanned=False), "planning"),
        (b, erasure(scanned=False), "running"),
        (a, erasure(found=2, crm=(2, 0, 0)), "running"),
        (b, erasure(found=1, crm=(1, 1, 0)), "awaiting_acks"),
        (a, erasure(found=2, crm=(2, 1, 0)), "awaiting_acks"),
        (a, erasure(found=2, crm=(2, 2, 0)), "completed"),
    ]
    for version, (partition, body, state) in enumerate(course, start=2):
        desk.answer("erase", partition, body, version=version)
        assert desk.state()["state"] == state

    parts = {p["partition"]: (p["target"], p["due"], p["done"]) for p in desk.state()["parts"]}
    assert parts == {a: ("crm", 2, 2), b: ("crm", 1, 1)}
    assert desk.state()["detail"]["found"] == 3


def test_a_target_that_stands_still_shows_as_its_own_part(desk: Desk) -> None:
    desk.ask("erase", subjects=["u-1"])

    desk.answer("erase", HOME, erasure(found=5, crm=(5, 0, 0), vault=(5, 0, 0)))
    desk.answer("erase", HOME, erasure(found=5, crm=(5, 5, 0), vault=(5, 0, 0)), version=2)

    assert {p["target"]: (p["due"], p["done"]) for p in desk.state()["parts"]} == {"crm": (5, 5), "vault": (5, 0)}
    assert desk.state()["state"] == "awaiting_acks"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (erasure(found=3, waiting={"hold": 2}, crm=(1, 1, 0)), "2 records wait for the end of a hold"),
        (erasure(found=3, waiting={"min_retain": 3}), "3 records wait for the end of a min retain"),
        (erasure(found=3, crm=(3, 1, 2)), "2 are withheld"),
    ],
    ids=["hold", "min_retain", "withheld"],
)
def test_what_is_kept_for_now_is_an_exception_with_its_reason_and_goes_by_itself_later(
    desk: Desk, body: dict[str, Any], said: str
) -> None:
    desk.ask("erase", subjects=["u-1"])

    desk.answer("erase", HOME, body)
    with_exceptions = desk.state()
    desk.answer("erase", HOME, erasure(found=3, crm=(3, 3, 0)), version=2)

    assert with_exceptions["state"] == "completed_with_exceptions"
    assert said in with_exceptions["text"]
    assert (desk.state()["state"], desk.state()["text"]) == ("completed", "")


@pytest.mark.parametrize("kept", [{}, {"hold": 1}], ids=["gone at once", "kept by a hold"])
def test_late_data_of_the_erased_brings_a_job_back_to_work(desk: Desk, kept: dict[str, int]) -> None:
    desk.ask("erase", subjects=["u-1"])
    desk.answer("erase", HOME, erasure(found=1, crm=(1, 1, 0)))

    desk.answer("erase", HOME, erasure(found=2, crm=(2, 1, 0)), version=2)
    back = desk.state()["state"]
    desk.answer("erase", HOME, erasure(found=2, waiting=kept, crm=(2 - len(kept), 2 - len(kept), 0)), version=3)

    assert back == "awaiting_acks"
    assert desk.state()["state"] == ("completed_with_exceptions" if kept else "completed")


def test_late_data_that_is_kept_at_once_is_told_too(desk: Desk) -> None:
    desk.ask("erase", subjects=["u-1"])
    desk.answer("erase", HOME, erasure(found=1, crm=(1, 1, 0)))

    desk.answer("erase", HOME, erasure(found=2, waiting={"hold": 1}, crm=(1, 1, 0)), version=2)

    assert desk.state()["state"] == "completed_with_exceptions"


def test_late_data_shows_at_once_even_while_a_new_shard_has_not_answered_yet(desk: Desk) -> None:
    desk.ask("erase", subjects=["u-1"])
    desk.answer("erase", HOME, erasure(found=1, crm=(1, 1, 0)))
    new = sorted(told(desk.org(shards=4), "Erase"))

    desk.answer("erase", HOME, erasure(found=2, crm=(2, 1, 0)), version=2)
    desk.answer("erase", new[0], erasure(scanned=False), epoch=2)

    assert desk.state()["state"] == "awaiting_acks"
    assert desk.state()["detail"]["shards"] == 1 + len(new)


def test_an_answer_that_is_older_than_the_last_one_counts_for_nothing(desk: Desk) -> None:
    desk.ask("erase", subjects=["u-1"])
    desk.answer("erase", HOME, erasure(found=1, crm=(1, 1, 0)), version=5)
    before = desk.store.rows()

    sends = [desk.answer("erase", HOME, erasure(found=1, crm=(1, 0, 0)), version=v) for v in (4, 5)]

    assert sends == [[], []]
    assert desk.store.rows() == before


def test_each_subject_has_its_own_outcome_in_the_order_of_asking(desk: Desk) -> None:
    desk.ask("erase", subjects=["ann", "bob", "cyd", "ann"])

    desk.answer("erase", HOME, erasure(found=5, subjects={ref("ann"): 2, ref("cyd"): 3}, crm=(5, 5, 0)))

    assert desk.state()["detail"]["subjects"] == [2, 0, 3, 2]


@pytest.mark.parametrize(("regime", "deadline"), [("gdpr", gdpr), ("ccpa", ccpa)])
def test_the_deadline_is_the_regimes_and_counts_from_the_asking(desk: Desk, regime: str, deadline: Any) -> None:
    asked = desk.now - 3 * DAY_MS

    desk.ask("erase", {"regime": regime}, subjects=["u-1"], requested_at=asked, lifetime_s=5 * 86_400)

    assert desk.state()["deadline"] == deadline(asked)


def test_a_barrier_may_lie_in_the_past_but_not_in_the_future(desk: Desk) -> None:
    sends = desk.ask("erase", {"through": 12_345}, subjects=["u-1"])
    assert told(sends, "Erase")[HOME]["through"] == 12_345

    desk.ask("erase", {"through": desk.now + DAY_MS}, subjects=["u-1"])
    assert (desk.state()["reason"], desk.state()["text"][:7]) == ("bad_body", "through")


@pytest.mark.parametrize("count", [MAX_SUBJECTS, 10_000])
def test_a_thousand_subjects_are_one_request_and_ten_thousand_are_none(desk: Desk, count: int) -> None:
    subjects = [f"u-{n}" for n in range(count)]
    if count <= MAX_SUBJECTS:
        assert len(told(desk.ask("erase", subjects=subjects), "Erase")[HOME]["subjects"]) == 8 * count
        return
    sealed = seal_without_checks(subjects, desk)

    sends = desk.send(sealed)

    assert told(sends, "Erase") == {}
    assert (desk.state()["reason"], f"there are {count}" in desk.state()["text"]) == ("bad_subjects", True)


def test_a_subject_id_of_ten_kilobytes_is_refused_without_being_repeated(desk: Desk) -> None:
    sends = desk.send(seal_without_checks(["u-1", "secret" * 1700], desk))

    assert told(sends, "Erase") == {}
    assert (desk.state()["reason"], "number 2 has 10200 bytes" in desk.state()["text"]) == ("bad_subjects", True)
    assert "secret" not in desk.state()["text"]


@pytest.mark.parametrize(("kind", "reason"), [("erase", "bad_subjects"), ("lock", "bad_body")])
def test_subjects_are_named_where_they_must_be_and_nowhere_else(desk: Desk, kind: str, reason: str) -> None:
    desk.ask(kind, {} if kind == "erase" else {"until_day": 30_000}, subjects=() if kind == "erase" else ["u-1"])

    assert (desk.state()["reason"], desk.state()["text"][:6]) == (reason, "sealed")


def seal_without_checks(subjects: list[str], desk: Desk) -> dict[str, Any]:
    """Return a signed request that seals what `seal_subjects` would refuse."""
    import ebbtide.envelope as envelope

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "subjects_fault", lambda _: "")
        record = desk.request("erase", subjects=subjects)
    return sign(record, SEED)


class TestDelete:
    def test_it_waits_for_its_grace_and_then_erases_everyone_up_to_that_moment(self, desk: Desk) -> None:
        began = desk.now
        desk.ask("delete", {**NAME, "grace_days": 3})
        assert desk.state()["detail"]["grace_ends_at"] == began + 1 + 3 * DAY_MS
        assert told(desk.pass_days(2.9), "Erase") == {}

        sends = desk.pass_days(0.2)

        command = told(sends, "Erase")[HOME]
        assert (command["everyone"], command["subjects"], command["categories"]) == (True, b"", [])
        assert began + 3 * DAY_MS < command["through"] <= desk.now
        assert desk.state()["state"] == "planning"
        desk.answer("erase", HOME, erasure(found=9, crm=(9, 9, 0)))
        assert desk.states()[-1] == "completed"

    def test_without_grace_it_begins_at_once(self, desk: Desk) -> None:
        sends = desk.ask("delete", {**NAME, "grace_days": 0})

        assert told(sends, "Erase")[HOME]["through"] == desk.now

    @pytest.mark.parametrize("typed", ["", "acme", "acme boats", "Acme Boats ", "Acme Boat"])
    def test_the_orgs_name_must_be_typed_exactly(self, desk: Desk, typed: str) -> None:
        before = desk.store.get(b"oacme")

        desk.ask("delete", {"confirm_org_name": typed})

        assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "wrong_org_name")
        assert "Acme" not in desk.state()["text"]
        assert desk.store.get(b"oacme") == before

    def test_an_org_without_a_name_that_can_be_typed_cannot_be_deleted(self, desk: Desk) -> None:
        desk.org(name="n" * 1025)

        desk.ask("delete", {"confirm_org_name": ""})

        assert desk.state()["reason"] == "wrong_org_name"

    def test_a_second_one_is_refused_until_the_first_is_over(self, desk: Desk) -> None:
        desk.ask("delete", {**NAME, "grace_days": 0}, request_id="first")
        desk.ask("delete", NAME)
        assert (desk.state()["reason"], "first" in desk.state()["text"]) == ("under_way", True)

        desk.answer("erase", HOME, erasure(), request_id="first")
        desk.ask("delete", NAME)
        assert desk.state()["state"] == "grace"

    def test_a_cancel_inside_the_grace_leaves_everything_as_it_was(self, desk: Desk) -> None:
        before = desk.store.get(b"oacme")
        desk.ask("delete", NAME, request_id="deletion")
        desk.pass_days(3)

        sends = desk.ask("cancel", {"job": "deletion"}) + desk.hidden(2, "deletion") + desk.pass_days(40)

        assert desk.state("deletion")["state"] == "cancelled"
        assert [read(s)["action"] for s in sends if s.topic == TOPICS.ledger] == ["unhide"]
        assert desk.store.get(b"oacme") == before

    def test_media_may_be_left_out_with_all_below_it_and_the_job_says_so(self, desk: Desk) -> None:
        sends = desk.ask("delete", {**NAME, "grace_days": 0, "delete_media": False})

        assert told(sends, "Erase")[HOME]["categories"] == ["logs.audit", "messages"]
        assert desk.state()["detail"]["media"] == "kept"
        assert desk.state()["detail"]["kept_categories"] == ["media", "media.thumbs"]

    def test_an_org_that_has_nothing_but_media_loses_nothing_if_media_is_kept(self) -> None:
        desk = Desk(replace(RULES, categories={"media": category("media")}, aliases={}))
        desk.org()

        sends = desk.ask("delete", {**NAME, "grace_days": 0, "delete_media": False})

        assert told(sends, "Erase") == {}
        assert desk.state()["state"] == "completed"
        desk.ask("delete", NAME)
        assert desk.state()["state"] == "grace"

    def test_where_there_is_no_media_keeping_it_leaves_nothing_out(self) -> None:
        desk = Desk(replace(RULES, categories={"messages": category("messages")}, aliases={}))
        desk.org()

        sends = desk.ask("delete", {**NAME, "grace_days": 0, "delete_media": False})

        assert told(sends, "Erase")[HOME]["categories"] == ["messages"]


class TestApproval:
    @pytest.fixture
    def careful(self) -> Desk:
        desk = Desk(replace(RULES, approval_over=2, approve_deletes=True))
        desk.org()
        return desk

    @pytest.mark.parametrize(("subjects", "waits"), [(["a", "b"], False), (["a", "b", "c"], True), (["a"] * 9, False)])
    def test_an_erasure_of_more_people_than_the_limit_waits(
        self, careful: Desk, subjects: list[str], waits: bool
    ) -> None:
        sends = careful.ask("erase", subjects=subjects)

        assert careful.state()["state"] == ("awaiting_approval" if waits else "planning")
        assert bool(told(sends, "Erase")) != waits

    def test_once_somebody_else_approves_it_goes_on_with_what_was_asked(self, careful: Desk) -> None:
        careful.ask("erase", subjects=["c", "a", "b"], request_id="many", requested_by="ann")
        asked = careful.state("many")["requested_at"]
        careful.now += DAY_MS

        sends = careful.ask("approve", {"job": "many"}, requested_by="bob")

        command = told(sends, "Erase")[HOME]
        assert command["subjects"] == pack_refs(SUBJECTS.refs(ORG, ["a", "b", "c"]))
        assert command["through"] == asked
        assert careful.state("many")["detail"]["approved_by"] == "bob"
        careful.answer("erase", HOME, erasure(found=1, subjects={ref("a"): 1}, crm=(1, 1, 0)), request_id="many")
        assert careful.state("many")["detail"]["subjects"] == [0, 1, 0]

    @pytest.mark.parametrize(("asked", "approves"), [("ann", "ann"), ("ann", ""), ("", "bob"), ("", "")])
    def test_nobody_approves_what_they_asked_for_themselves(self, careful: Desk, asked: str, approves: str) -> None:
        careful.ask("erase", subjects=["a", "b", "c"], request_id="many", requested_by=asked)

        sends = careful.ask("approve", {"job": "many"}, requested_by=approves)

        assert (careful.state()["state"], careful.state()["reason"]) == ("refused", "own_approval")
        assert careful.state("many")["state"] == "awaiting_approval"
        assert told(sends, "Erase") == {}

    def test_the_grace_of_a_deletion_begins_with_its_approval(self, careful: Desk) -> None:
        careful.ask("delete", {**NAME, "grace_days": 1}, request_id="deletion")
        careful.pass_days(5)
        assert careful.state("deletion")["state"] == "awaiting_approval"

        careful.ask("approve", {"job": "deletion"}, requested_by="bob")
        assert careful.state("deletion")["state"] == "grace"
        assert told(careful.pass_days(0.9), "Erase") == {}
        assert told(careful.pass_days(0.2), "Erase") != {}

    def test_what_was_cancelled_keeps_no_references(self, careful: Desk) -> None:
        careful.ask("erase", subjects=["a", "b", "c"], request_id="many")
        careful.ask("cancel", {"job": "many"})

        assert careful.state("many")["state"] == "cancelled"
        assert ref("a").encode() not in b"".join(careful.store.rows().values())


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_the_end_is_the_same_in_whatever_order_the_shards_answer(order: tuple[int, ...]) -> None:
    desk = Desk()
    desk.org(shards=4)
    shards = sorted(told(desk.ask("erase", subjects=["u-1"]), "Erase"))
    bodies = {n: erasure(found=n, crm=(n, n, 0)) for n in order}

    for n in order:
        desk.answer("erase", shards[n - 1], bodies[n])
    for partition in shards[3:]:
        desk.answer("erase", partition, erasure())

    assert (desk.state()["state"], json.dumps(desk.state()["parts"])) == (
        "completed",
        json.dumps(sorted(desk.state()["parts"], key=lambda p: p["partition"])),
    )
    assert desk.state()["detail"]["found"] == 6
