"""Moves of jobs: only those that the table has, only of the org's own jobs, and each is a job itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.topics import DAY_MS
from tests.support.desk import HOME, Desk, erasure, told

NAME = {"confirm_org_name": "Acme Boats"}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def in_grace(desk: Desk) -> None:
    desk.ask("delete", {**NAME, "grace_days": 4}, request_id="job")


def paused(desk: Desk) -> None:
    in_grace(desk)
    desk.ask("pause", {"job": "job"})


def sent(desk: Desk) -> None:
    desk.ask("erase", subjects=["u-1"], request_id="job")


def completed(desk: Desk) -> None:
    sent(desk)
    desk.answer("erase", HOME, erasure(), request_id="job")


def cancelled(desk: Desk) -> None:
    in_grace(desk)
    desk.ask("cancel", {"job": "job"})


def refused(desk: Desk) -> None:
    desk.ask("delete", {"confirm_org_name": "nobody"}, request_id="job")


@pytest.mark.parametrize(
    ("begin", "legal"),
    [
        (in_grace, {"cancel": "cancelled", "restore": "cancelled", "pause": "paused"}),
        (paused, {"cancel": "cancelled", "restore": "cancelled", "resume": "grace"}),
        (sent, {}),
        (completed, {}),
        (cancelled, {}),
        (refused, {}),
    ],
)
@pytest.mark.parametrize("kind", ["cancel", "restore", "pause", "resume", "approve"])
def test_a_move_is_made_where_it_is_legal_and_refused_everywhere_else(
    desk: Desk, begin: Callable[[Desk], None], legal: dict[str, str], kind: str
) -> None:
    begin(desk)
    before = desk.state("job")

    desk.ask(kind, {"job": "job"}, requested_by="bob")
    if kind in legal and kind in ("cancel", "restore"):
        desk.hidden(2, "job")

    if kind in legal:
        shown = {name: desk.state()["detail"][name] for name in ("job", "state")}
        assert (desk.state()["state"], shown) == ("completed", {"job": "job", "state": legal[kind]})
        assert desk.state("job")["state"] == legal[kind]
    else:
        assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "wrong_state")
        assert before["state"] in desk.state()["text"]
        assert desk.state("job") == before


@pytest.mark.parametrize("kind", ["cancel", "restore", "pause", "resume", "approve"])
def test_a_job_that_the_org_has_not_is_refused_by_name(desk: Desk, kind: str) -> None:
    for job in ("nothing", f"r-{desk.number + 2}"):  # the second is the request itself
        desk.ask(kind, {"job": job})
        assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "unknown_job")


def test_a_pause_stops_the_count_of_a_grace_and_resume_goes_on_with_it(desk: Desk) -> None:
    in_grace(desk)
    desk.pass_days(3)
    desk.ask("pause", {"job": "job"})
    assert "grace_ends_at" not in desk.state("job")["detail"]
    assert told(desk.pass_days(20), "Erase") == {}

    desk.ask("resume", {"job": "job"})
    left = desk.state("job")["detail"]["grace_ends_at"] - desk.now

    assert 0.99 * DAY_MS < left <= DAY_MS
    assert told(desk.pass_days(0.9), "Erase") == {}
    assert told(desk.pass_days(0.2), "Erase") != {}


def test_another_pause_and_resume_leave_no_earlier_end_behind(desk: Desk) -> None:
    in_grace(desk)
    for _ in range(3):
        desk.pass_days(1)
        desk.ask("pause", {"job": "job"})
        desk.pass_days(10)
        desk.ask("resume", {"job": "job"})

    assert told(desk.pass_days(0.9), "Erase") == {}
    assert told(desk.pass_days(0.2), "Erase") != {}
