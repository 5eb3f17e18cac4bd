"""Time: a wrong clock ends no grace early, a cancel that came in time wins, and deadlines are kept count of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.topics import DAY_MS
from streams.coordinator import timers
from streams.coordinator.rows import Clock
from streams.coordinator.stats import job_stats
from tests.support.desk import HOME, RULES, TOPICS, Desk, erasure, names, told

NAME = {"confirm_org_name": "Acme Boats"}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def delete(desk: Desk, days: int = 3) -> None:
    desk.ask("delete", {**NAME, "grace_days": days}, request_id="deletion")


def test_a_clock_that_runs_ahead_of_the_broker_ends_no_grace(desk: Desk) -> None:
    delete(desk)
    desk.tick()

    sends = desk.settle(desk.tick(desk.now + 30 * DAY_MS)) + desk.settle(desk.tick(desk.now + DAY_MS))

    assert told(sends, "Erase") == {}
    assert Clock.from_bytes(desk.store.rows()[b"c"]).ignored == 2


def test_a_leap_of_a_stopped_clock_waits_for_a_persons_approval(desk: Desk) -> None:
    delete(desk)
    desk.tick()
    desk.now += 10 * DAY_MS

    leapt = desk.settle(desk.tick())
    approved = desk.settle(desk.tick(approved=True))

    assert told(leapt, "Erase") == {}
    assert told(approved, "Erase") != {}


def test_after_an_approved_leap_beyond_the_brokers_time_a_grace_still_lasts_as_long_as_the_broker_says(
    desk: Desk,
) -> None:
    delete(desk)

    leapt = desk.settle(desk.tick(desk.now + 10 * DAY_MS, approved=True))

    assert told(leapt + desk.pass_days(2.9), "Erase") == {}
    assert told(desk.pass_days(0.2), "Erase") != {}


def test_a_tick_of_the_past_changes_nothing(desk: Desk) -> None:
    desk.tick()
    before = desk.store.rows()

    desk.tick(desk.now - DAY_MS)

    assert desk.store.rows() == before


def test_a_cancel_that_came_in_time_wins_over_ticks_that_are_read_first(desk: Desk) -> None:
    delete(desk)
    cancel = desk.request("cancel", {"job": "deletion"})

    # The coordinator was away; the cancel waits in `requests`, and the ticks of five days are read before it.
    sent_at = desk.now
    markers = []
    for _ in range(5):
        desk.now += DAY_MS
        markers += desk.tick()
    read_at, desk.now = desk.now, sent_at
    desk.send(cancel)  # stamped by the broker when it came
    desk.now = read_at
    sends = [s for m in markers if m.topic == TOPICS.requests for s in desk.raw(m.topic, m.value or b"", m.key)]

    assert [name for topic, _, name in names(markers) if topic == TOPICS.requests] == ["Step"]
    assert desk.state("deletion")["state"] == "cancelled"
    assert told(markers + sends, "Erase") == {}


def test_whoever_forges_a_marker_ends_no_grace(desk: Desk) -> None:
    delete(desk)
    desk.now += int(3.5 * DAY_MS)
    for number in (0, 1, 2, 2**31):
        assert told(desk.give(TOPICS.requests, "Step", {"number": number}, key=b""), "Erase") == {}

    assert desk.state("deletion")["state"] == "grace"


def test_a_marker_that_another_broker_stamped_too_early_is_followed_by_another(desk: Desk) -> None:
    delete(desk, days=1)
    ends = desk.state("deletion")["detail"]["grace_ends_at"]
    desk.now = ends + 5
    (marker,) = desk.tick()
    desk.now = ends - 1000  # its broker's clock is behind

    early = desk.raw(marker.topic, marker.value or b"", marker.key)
    desk.now = ends + 5000
    later = desk.settle(desk.tick())

    assert early == []  # it does not ask again and again: the next tick does
    assert told(later, "Erase") != {}


def test_in_a_test_clocks_days_a_grace_ends_by_ticks_alone() -> None:
    desk = Desk(replace(RULES, test_clock=True))
    desk.org()
    desk.tick()
    delete(desk)

    early = desk.settle(desk.tick(desk.now + int(2.9 * DAY_MS)))
    over = desk.settle(desk.tick(desk.now + int(3.1 * DAY_MS)))

    assert told(early, "Erase") == {}
    assert told(over, "Erase")[HOME]["through"] == Clock.from_bytes(desk.store.rows()[b"c"]).tick


def test_in_a_test_clocks_days_a_job_is_remembered_as_long_as_its_request_could_come_again() -> None:
    desk = Desk(replace(RULES, test_clock=True))
    desk.org()
    record = desk.request("lock", {"until_day": 40_000})
    desk.send(record)
    remembered = desk.store.get(b"jacme\0r-1")

    for days in (31, 62, 93):
        desk.tick(desk.now + days * DAY_MS)

    assert remembered is not None
    assert desk.store.get(b"jacme\0r-1") == remembered


def test_more_timers_than_one_entry_may_look_at_are_done_with_the_next_ticks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "LIMIT", 2)
    for number in range(5):
        desk.ask("erase", subjects=["u-1"], request_id=f"e-{number}")

    seen = []
    desk.now += 40 * DAY_MS
    for _ in range(4):
        desk.now += 60_000
        desk.tick(approved=True)
        seen.append(job_stats(desk.store).overdue.get("erase", 0))

    assert seen == [2, 4, 5, 5]


class TestStats:
    def test_jobs_are_counted_by_kind_and_state(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["u-1"])
        desk.ask("erase", subjects=["u-2"], request_id="done")
        desk.answer("erase", HOME, erasure(), request_id="done")
        desk.ask("lock", {"until_day": 1})
        desk.ask("moon")

        assert job_stats(desk.store).jobs == {
            "erase": {"planning": 1, "completed": 1},
            "lock": {"refused": 1},
            "": {"refused": 1},
        }

    def test_a_job_past_its_deadline_is_overdue_until_it_is_done(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["u-1"])
        deadline = desk.state()["deadline"]
        assert job_stats(desk.store).next_deadline == deadline

        desk.pass_days(29)
        on_time = job_stats(desk.store).overdue.get("erase", 0)
        desk.pass_days(2)
        late = job_stats(desk.store)
        desk.answer("erase", HOME, erasure())
        done = job_stats(desk.store)

        assert (on_time, late.overdue, late.next_deadline) == (0, {"erase": 1}, deadline)
        assert (done.overdue, done.next_deadline) == ({"erase": 0}, 0)

    def test_a_job_that_comes_back_to_work_after_its_end_is_not_late(self, desk: Desk) -> None:
        desk.ask("erase", subjects=["u-1"])
        desk.answer("erase", HOME, erasure())
        desk.pass_days(50)

        desk.answer("erase", HOME, erasure(found=1, crm=(1, 0, 0)), version=2)
        desk.pass_days(1)

        assert desk.state()["state"] == "awaiting_acks"
        assert job_stats(desk.store).overdue.get("erase", 0) == 0

    def test_jobs_that_stand_for_nothing_any_more_are_forgotten_and_erasures_are_not(self, desk: Desk) -> None:
        desk.ask("lock", {"until_day": 30_000})
        desk.ask("delete", NAME, request_id="deletion")
        desk.ask("cancel", {"job": "deletion"})
        desk.hidden(2, "deletion")
        desk.ask("erase", subjects=["u-1"], request_id="people")
        desk.answer("erase", HOME, erasure(), request_id="people")

        desk.pass_days(45)

        assert job_stats(desk.store).jobs == {"lock": {}, "delete": {}, "cancel": {}, "erase": {"completed": 1}}
        assert [key for key in desk.store.rows() if key.startswith(b"j")] == [b"jacme\0people"]
        assert not [key for key in desk.store.rows() if key[:1] in b"tda"][1:]

    def test_no_jobs_are_no_deadline(self) -> None:
        assert job_stats(Desk(None).store).next_deadline == 0
