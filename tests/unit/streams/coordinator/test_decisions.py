"""What a person decides about a person's request: who asks is sure, it is denied, it takes longer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.jobs import DENIALS
from schemas.rules import Regime
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator.deadlines import gdpr, gdpr_extended
from streams.coordinator.stats import job_stats
from tests.support.desk import HOME, ORG, RULES, SUBJECTS, Desk, erasure, told

NAME = {"confirm_org_name": "Acme Boats"}
REGIMES = {"lgpd": Regime(days=15), "ours": Regime(days=20, extension_days=10)}


@pytest.fixture
def desk() -> Desk:
    made = Desk(replace(RULES, verify_identity=True, approval_over=2, approve_deletes=True, regimes=REGIMES))
    made.org()
    return made


class TestIdentity:
    def test_nothing_is_told_to_a_ledger_until_somebody_is_sure_of_who_asks(self, desk: Desk) -> None:
        sends = desk.ask("erase", subjects=["a", "b"], request_id="job")
        asked = desk.state("job")["requested_at"]

        assert told(sends, "Erase") == {}
        assert desk.state("job")["state"] == "verifying_identity"
        assert desk.state("job")["deadline"] == gdpr(asked)  # the time runs on meanwhile
        desk.now += DAY_MS
        command = told(desk.ask("verify", {"job": "job"}, requested_by="bob"), "Erase")[HOME]

        assert command["subjects"] == pack_refs(SUBJECTS.refs(ORG, ["a", "b"]))
        assert command["through"] == asked
        assert desk.state("job")["detail"]["identity"] == "verified"
        assert desk.state("job")["detail"]["verified_by"] == "bob"

    def test_an_export_of_people_waits_as_well_and_one_of_an_org_does_not(self, desk: Desk) -> None:
        assert told(desk.ask("export", subjects=["a"], request_id="job"), "Select") == {}
        assert desk.state("job")["state"] == "verifying_identity"
        command = told(desk.ask("verify", {"job": "job"}), "Select")[HOME]
        assert command["subjects"] == pack_refs(SUBJECTS.refs(ORG, ["a"]))

        assert told(desk.ask("export"), "Select")

    def test_a_denied_export_leaves_nothing_to_delete(self, desk: Desk) -> None:
        desk.ask("export", subjects=["a"], request_id="job")

        sends = desk.ask("deny", {"job": "job", "reason": "no_match"})

        assert (desk.state("job")["state"], told(sends, "ExportWork")) == ("refused", {})

    def test_whoever_vouches_for_it_in_the_request_does_not_wait(self, desk: Desk) -> None:
        assert told(desk.ask("erase", {"identity": "verified"}, subjects=["a"]), "Erase")
        assert desk.state()["state"] == "planning"

    def test_where_the_rules_do_not_want_it_nobody_waits(self) -> None:
        desk = Desk()
        desk.org()

        assert told(desk.ask("erase", subjects=["a"]), "Erase")

    def test_many_people_wait_for_a_second_person_after_that(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["a", "b", "c"], request_id="job")

        assert told(desk.ask("verify", {"job": "job"}, requested_by="bob"), "Erase") == {}
        assert desk.state("job")["state"] == "awaiting_approval"
        assert told(desk.ask("approve", {"job": "job"}, requested_by="bob"), "Erase")

    def test_a_job_that_waits_for_no_identity_is_not_verified(self, desk: Desk) -> None:
        desk.ask("erase", {"identity": "verified"}, subjects=["a"], request_id="job")

        desk.ask("verify", {"job": "job"})

        assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "wrong_state")

    def test_it_can_be_cancelled(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["a"], request_id="job")

        desk.ask("cancel", {"job": "job"})

        assert desk.state("job")["state"] == "cancelled"


class TestDenial:
    @pytest.mark.parametrize("reason", DENIALS)
    def test_a_request_is_refused_for_each_reason_of_the_list(self, desk: Desk, reason: str) -> None:
        desk.ask("erase", subjects=["a"], request_id="job")

        sends = desk.ask("deny", {"job": "job", "reason": reason}, requested_by="bob")

        denied = desk.state("job")
        assert (denied["state"], denied["reason"], denied["detail"]["denied_by"]) == ("refused", reason, "bob")
        assert desk.state()["state"] == "completed"
        assert told(sends + desk.pass_days(40), "Erase") == {}
        assert job_stats(desk.store).overdue == {}  # what is refused is not late

    def test_a_denied_deletion_leaves_room_for_another(self, desk: Desk) -> None:
        desk.ask("delete", NAME, request_id="job")
        desk.ask("deny", {"job": "job", "reason": "other"})

        desk.ask("delete", NAME)

        assert desk.state()["state"] == "awaiting_approval"

    def test_another_reason_is_none(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["a"], request_id="job")

        desk.ask("deny", {"job": "job", "reason": "no time"})

        assert (desk.state()["reason"], desk.state("job")["state"]) == ("bad_body", "verifying_identity")

    def test_what_was_sent_cannot_be_denied(self, desk: Desk) -> None:
        desk.ask("erase", {"identity": "verified"}, subjects=["a"], request_id="job")

        desk.ask("deny", {"job": "job", "reason": "no_match"})

        assert (desk.state()["reason"], desk.state("job")["state"]) == ("wrong_state", "planning")


class TestExtension:
    def test_a_deadline_moves_once_and_says_why(self, desk: Desk) -> None:
        desk.ask("erase", {"identity": "verified"}, subjects=["a"], request_id="job")
        first = desk.state("job")["deadline"]

        desk.ask("extend", {"job": "job", "reason": "complexity"}, requested_by="bob")
        desk.ask("extend", {"job": "job", "reason": "complexity"})

        extension = desk.state("job")["detail"]["extension"]
        assert desk.state("job")["deadline"] == gdpr_extended(first)
        assert (extension["from"], extension["reason"], extension["by"]) == (first, "complexity", "bob")
        assert desk.state()["reason"] == "too_late"

    def test_a_job_is_late_by_the_later_deadline_alone(self, desk: Desk) -> None:
        desk.ask("erase", {"identity": "verified"}, subjects=["a"], request_id="job")
        desk.ask("extend", {"job": "job", "reason": "number_of_requests"})

        desk.pass_days(35)
        assert job_stats(desk.store).overdue == {}
        desk.pass_days(60)
        assert job_stats(desk.store).overdue == {"erase": 1}
        desk.answer("erase", HOME, erasure(), request_id="job")
        assert job_stats(desk.store).overdue == {"erase": 0}

    def test_when_it_has_passed_it_is_too_late(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["a"], request_id="job")
        desk.pass_days(31)

        desk.ask("extend", {"job": "job", "reason": "complexity"})

        assert desk.state()["reason"] == "too_late"

    def test_what_has_ended_or_has_no_deadline_is_not_extended(self, desk: Desk) -> None:
        desk.ask("erase", {"identity": "verified"}, subjects=["a"], request_id="done")
        desk.answer("erase", HOME, erasure(), request_id="done")
        desk.ask("hold", {"hold_id": "h-1"}, request_id="hold")

        for job in ("done", "hold"):
            desk.ask("extend", {"job": job, "reason": "complexity"})
            assert desk.state()["reason"] == "wrong_state"

    @pytest.mark.parametrize(("regime", "state"), [("ours", "completed"), ("lgpd", "refused")])
    def test_an_own_regime_says_whether_it_may_be_extended(self, desk: Desk, regime: str, state: str) -> None:
        desk.ask("erase", {"identity": "verified", "regime": regime}, subjects=["a"], request_id="job")
        asked = desk.state("job")["requested_at"]
        assert desk.state("job")["deadline"] == asked + REGIMES[regime].days * DAY_MS

        desk.ask("extend", {"job": "job", "reason": "complexity"})

        assert desk.state()["state"] == state

    def test_a_regime_that_is_none_is_refused_by_name(self, desk: Desk) -> None:
        desk.ask("erase", {"regime": "moon"}, subjects=["a"])

        assert desk.state()["reason"] == "bad_body"
        assert "gdpr, ccpa, lgpd, ours" in desk.state()["text"]
