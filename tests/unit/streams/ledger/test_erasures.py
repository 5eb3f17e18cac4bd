"""What is promised of erasures of people and of orgs (V5, V3, X3): all that is there goes, and all that comes later."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.policy import Setting
from schemas.rules import CategoryRules
from streams.ledger import keys, waiting
from streams.ledger.state import Context, Work
from streams.ledger.waiting import Rows
from streams.reducer import Send
from tests.support.ledger_log import CODEC, TOPICS, Batch, LedgerLog, category, day, group, ready, rules

IDS = [f"r{n}" for n in range(6)]
PEOPLE = [1, 1, 2, 2, 3, [1, 2]]
NOTHING = {"due": 0, "done": 0, "changed": 0, "withheld": 0, "failed": 0}


def with_people(*categories: CategoryRules, min_segment: int = 64, **values: int) -> LedgerLog:
    """Six records of three people, which nothing makes due before day 91."""
    log = ready(*categories, **values)
    log.frame(group(IDS, day(1), subjects=PEOPLE), min_segment=min_segment)
    log.to_day(5)
    return log


def count(**numbers: int) -> dict[str, int]:
    return {**NOTHING, **numbers}


def ack_all(log: LedgerLog, sends: list[Send]) -> list[Batch]:
    """Acknowledge all batches and those that follow; return them."""
    waiting, done = log.batches(sends), []
    while waiting:
        done.append(waiting.pop(0))
        waiting += log.batches(log.ack(done[-1]))
    return done


@pytest.mark.parametrize("min_segment", [1, 64])
@pytest.mark.parametrize(
    ("subjects", "through", "erased"),
    [
        ((1,), 5, ["r0", "r1", "r5"]),
        ((2, 3), 5, ["r2", "r3", "r4", "r5"]),
        ((), 5, IDS),
        ((9,), 5, []),
        ((1,), 0.9, []),
    ],
)
def test_an_erasure_takes_all_records_of_its_subjects_and_no_other(
    subjects: tuple[int, ...], through: float, erased: list[str], min_segment: int
) -> None:
    log = with_people(min_segment=min_segment)

    sends = log.erase("request", *subjects, through=through)

    batches = ack_all(log, sends)
    assert sorted(i for b in batches for i in b.ids) == erased
    assert {b.reason for b in batches} <= {"request"}
    said = log.said()
    assert (said["scanned"], said["found"]) == (True, len(erased))
    assert said["targets"] == ({"crm": count(due=len(erased), done=len(erased), changed=len(erased))} if erased else {})


def test_what_is_said_of_a_request_names_what_was_found_of_each_subject() -> None:
    log = with_people()

    log.erase("request", 1, 2, 9)

    assert log.said()["subjects"] == {"0100000000000000": 3, "0200000000000000": 3}
    assert log.said()["found"] == 5


def test_the_others_are_erased_in_their_time_and_nothing_twice() -> None:
    log = with_people()
    ack_all(log, log.erase("request", 1))

    sends = log.to_day(92)

    assert log.erased(sends) == ["r2", "r3", "r4"]
    assert {b.reason for b in log.batches(sends)} == {"retention"}


def part(name: str, parent: str) -> CategoryRules:
    made = category(name)
    return CategoryRules(name=name, parent=parent, targets=made.targets, default=made.default, can_anonymise=True)


@pytest.mark.parametrize(
    ("categories", "erased"),
    [
        ((), ["f0", "m0", "o0"]),
        (("files",), ["f0", "o0"]),
        (("files.old",), ["o0"]),
        (("messages", "files.old"), ["m0", "o0"]),
    ],
)
def test_a_request_for_categories_takes_those_below_them_as_well(
    categories: tuple[str, ...], erased: list[str]
) -> None:
    log = ready(category("messages"), category("files"), part("files.old", "files"))
    for name, record in (("messages", "m0"), ("files", "f0"), ("files.old", "o0")):
        log.frame(group([record], day(1), category=name, subjects=[1]))

    sends = log.erase("request", 1, categories=categories)

    assert log.erased(sends) == erased


def test_what_arrives_later_and_occurred_before_is_erased_as_well_and_what_occurred_later_stays() -> None:
    log = with_people()
    ack_all(log, log.erase("request", 1, through=5))
    small = log.frame(group(["late", "other"], day(3), subjects=[1, 2]))
    large = log.frame(group(["large", "more"], day(4), subjects=[1, 1]), min_segment=1)
    new = log.frame(group(["new"], day(6), subjects=[1]))

    ack_all(log, small + large + new)

    assert log.erased(small) == ["late"]
    assert log.erased(large) == ["large", "more"]
    assert log.erased(new) == []
    assert log.said()["targets"]["crm"] == count(due=6, done=6, changed=6)
    assert (log.said()["found"], log.said()["subjects"]) == (6, {"0100000000000000": 6})
    assert log.erased(log.to_day(97)) == ["new", "other", "r2", "r3", "r4"]


def test_an_erased_org_stays_erased() -> None:
    log = with_people()
    ack_all(log, log.erase("request"))

    late = log.frame(group(["late"], day(2)))

    assert log.erased(late) == ["late"]


def test_an_org_without_requests_is_none_of_theirs() -> None:
    log = with_people()
    log.open("other")
    log.frame(group(["o1"], day(1), org="other", subjects=[1]))

    sends = log.erase("request", 1)

    assert [b.org for b in log.batches(sends)] == ["acme"]


def test_records_of_every_target_are_due_and_done_in_each() -> None:
    log = with_people(category("messages", targets=("crm", "lake")))
    sends = log.erase("request", 1)
    crm, lake = sorted(log.batches(sends), key=lambda b: b.target)
    before = log.said()
    log.ack(lake)

    half = log.said()
    log.ack(crm)

    assert before["targets"] == {"crm": count(due=3), "lake": count(due=3)}
    assert half["targets"] == {"crm": count(due=3), "lake": count(due=3, done=3, changed=3)}
    assert log.said()["targets"]["crm"] == count(due=3, done=3, changed=3)


def test_a_moved_record_is_erased_from_where_it_is_and_a_deleted_one_not_at_all() -> None:
    log = ready(category("messages", targets=("crm", "lake")))
    log.frame(group(["r0", "r1"], day(1), target="crm", subjects=[1, 1]), group(["r2"], day(1), subjects=[1]))
    log.frame(group(["r0"], day(2), kind="moved", targets=["lake"]), group(["r2"], day(2), kind="deleted"))
    log.to_day(3)

    sends = log.erase("request", 1)

    assert (log.erased(sends, "crm"), log.erased(sends, "lake")) == (["r1"], ["r0"])
    ack_all(log, sends)
    assert log.said()["targets"] == {t: count(due=1, done=1, changed=1) for t in ("crm", "lake")}


@pytest.mark.parametrize("action", ["delete", "anonymise"])
def test_what_is_done_is_what_the_category_says(action: str) -> None:
    log = with_people(category("messages", action=action))

    sends = log.erase("request", 1)

    assert {b.action for b in log.batches(sends)} == {action}


@pytest.mark.parametrize(("period", "day_of"), [("10 d", 12), ("1 month", 33), ("300 d", 302)])
def test_nothing_goes_before_its_minimum_retain_has_passed(period: str, day_of: int) -> None:
    log = with_people(category("messages", "400 d", min_retain=period))

    early = log.erase("request", 1) + log.to_day(day_of - 1)
    waiting = log.said()
    due = log.to_day(day_of)

    assert log.erased(early) == []
    assert waiting["waiting"] == {"hold": 0, "min_retain": 3}
    assert waiting["targets"] == {}
    assert log.erased(due) == ["r0", "r1", "r5"]
    ack_all(log, due)
    assert log.said()["waiting"] == {"hold": 0, "min_retain": 0}
    assert log.said()["targets"]["crm"] == count(due=3, done=3, changed=3)


def test_a_minimum_retain_counts_from_the_clock_and_a_clock_that_has_not_started_keeps_the_record() -> None:
    log = with_people(category("messages", "90 d", clock="deactivation", min_retain="10 d"))
    log.frame(group(["r0"], day(4), kind="deactivated"))
    log.erase("request", 1)

    first = log.to_day(15)
    log.frame(group(["r1"], day(20), kind="deactivated"))
    second = log.to_day(40)

    assert log.erased(first) == ["r0"]
    assert log.erased(second) == ["r1"]
    assert log.said()["waiting"]["min_retain"] == 1


@pytest.mark.parametrize(("longer", "day_of"), [("20 d", 22), ("5 d", 8)])
def test_a_changed_minimum_retain_reaches_what_waits_for_it(longer: str, day_of: int) -> None:
    log = with_people(category("messages", "400 d", min_retain="10 d" if longer == "20 d" else "1 d"))
    log.policy(Setting(category="messages", min_retain="15 d"), version=1)
    log.erase("request", 1)
    changed = log.policy(Setting(category="messages", min_retain=longer), version=2)

    early = log.to_day(day_of - 1) if longer == "20 d" else []
    due = log.to_day(day_of)

    assert log.erased(changed + early) == []
    assert log.erased(due) == ["r0", "r1", "r5"]


def test_a_hold_goes_before_a_request_and_what_it_kept_goes_when_it_ends() -> None:
    log = with_people()
    log.hold(records=["r1"], grace=10)
    sends = log.erase("request", 1)
    log.release()
    ack_all(log, sends)
    waiting = log.said()

    kept = log.to_day(14)
    due = log.to_day(15)

    assert (log.erased(sends), log.erased(kept), log.erased(due)) == (["r0", "r5"], [], ["r1"])
    assert waiting["waiting"] == {"hold": 1, "min_retain": 0}
    assert waiting["targets"] == {"crm": count(due=2, done=2, changed=2)}
    ack_all(log, due)
    assert log.said()["waiting"] == {"hold": 0, "min_retain": 0}
    assert log.said()["targets"] == {"crm": count(due=3, done=3, changed=3)}


@pytest.mark.parametrize(
    ("hold_ends", "retained_until", "goes"), [(10, "30 d", 32), (40, "30 d", 40), (40, "", 40), (10, "3 d", 10)]
)
def test_a_record_goes_when_neither_a_hold_nor_a_minimum_retain_keeps_it(
    hold_ends: int, retained_until: str, goes: int
) -> None:
    log = with_people(category("messages", "400 d", min_retain=retained_until))
    log.hold(grace=hold_ends - 5)
    log.release()
    log.erase("request", 1)

    early = log.to_day(goes - 1)
    due = log.to_day(goes)

    assert log.erased(early) == []
    assert log.erased(due) == ["r0", "r1", "r5"]


def test_what_a_hold_had_parked_goes_when_it_ends_and_counts() -> None:
    log = with_people()
    log.hold(subjects=[1])
    log.to_day(95)
    log.erase("request", 1)
    waiting = log.said()

    due = log.release()

    assert waiting["waiting"]["hold"] == 3
    assert log.erased(due) == ["r0", "r1", "r5"]
    assert {b.reason for b in log.batches(due)} == {"request"}


def test_withheld_and_failed_rows_stay_due_and_come_back_the_next_day() -> None:
    log = with_people()
    (batch,) = log.batches(log.erase("request", 1))
    log.ack(batch, withheld=[0], failed=[2])

    told = log.to_day(6)
    ack_all(log, told)

    assert log.erased(told) == [batch.ids[0], batch.ids[2]]
    assert {b.reason for b in log.batches(told)} == {"request"}
    assert log.said()["targets"]["crm"] == count(due=3, done=3, changed=3)


def test_what_a_target_keeps_is_said() -> None:
    log = with_people()
    log.erase("request", 1)
    (batch,) = log.batches()

    log.ack(batch, withheld=[0], failed=[2])
    log.erase("request", 1)

    assert log.said()["targets"]["crm"] == count(due=3, done=1, changed=1, withheld=1, failed=1)


def test_a_target_without_room_gets_its_rows_by_and_by_and_a_policy_may_still_change_what_is_done() -> None:
    log = ready(pending_batches=1, batch_records=2, step_records=2)
    log.frame(group([f"r{n}" for n in range(9)], day(1), subjects=[1] * 9))
    log.to_day(2)
    sends = log.erase("request", 1)
    open_rows = log.said()["targets"]["crm"]
    log.policy(Setting(category="messages", action="anonymise"), version=1)

    batches = ack_all(log, sends)

    assert open_rows == count(due=9)
    assert sorted(i for b in batches for i in b.ids) == [f"r{n}" for n in range(9)]
    assert [b.action for b in batches] == ["delete"] + ["anonymise"] * 4
    assert len({b.id for b in batches}) == 5
    assert log.said()["targets"]["crm"] == count(due=9, done=9, changed=9)


def test_a_batch_on_its_way_with_records_of_the_request_is_waited_for() -> None:
    log = with_people()
    (batch,) = log.batches(log.to_day(92))
    sends = log.erase("request", 1)
    before = log.said()

    log.ack(batch, withheld=[0])
    log.to_day(93)
    ack_all(log, log.sends[-40:])

    assert log.batches(sends) == []
    assert before["targets"] == {"crm": count(due=3)}
    assert log.said()["targets"]["crm"] == count(due=3, done=3, changed=3)


def test_two_requests_for_one_person_take_a_record_once_and_both_see_it_go() -> None:
    log = with_people(pending_batches=1, batch_records=1)
    first = log.erase("one", 1)

    second = log.erase("two", 1, 2)
    batches = ack_all(log, first + second)

    assert sorted(i for b in batches for i in b.ids) == ["r0", "r1", "r2", "r3", "r5"]
    assert log.said("one")["targets"]["crm"] == count(due=3, done=3, changed=3)
    assert log.said("two")["targets"]["crm"] == count(due=5, done=5, changed=5)


def test_a_second_request_sees_what_waits_for_the_first() -> None:
    log = with_people(category("messages", "400 d", min_retain="20 d"))
    log.hold(records=["r1"])
    log.erase("one", 1)
    log.erase("two", 1)
    waiting = log.said("two")["waiting"]
    log.release()

    ack_all(log, log.to_day(22))

    assert waiting == {"hold": 1, "min_retain": 2}
    for name in ("one", "two"):
        assert log.said(name)["waiting"] == {"hold": 0, "min_retain": 0}
        assert log.said(name)["targets"]["crm"] == count(due=3, done=3, changed=3)


def test_a_request_after_all_is_gone_ends_and_found_nothing() -> None:
    log = with_people()
    ack_all(log, log.erase("one", 1))

    log.erase("two", 1)

    assert log.said("two") == {
        "scanned": True,
        "found": 0,
        "subjects": {},
        "waiting": {"hold": 0, "min_retain": 0},
        "targets": {},
    }


def test_asked_again_nothing_changes_and_it_is_told_again() -> None:
    log = with_people()
    log.erase("request", 1)

    again = log.erase("request", 2)

    assert log.batches(again) == []
    assert [a["kind"] for a in log.answers(again)] == ["erase"]


def test_a_request_of_an_epoch_behind_is_answered_with_an_error() -> None:
    log = ready()
    log.open(epoch=2)

    (answer,) = log.answers(log.erase("request", 1))

    assert "behind" in answer["error"]


def test_a_request_for_an_org_that_is_not_open_begins_when_it_is_opened() -> None:
    log = ready()
    log.frame(group(IDS, day(1), org="other", subjects=PEOPLE))
    log.to_day(3)
    early = log.erase("request", 1, org="other")
    log.frame(group(["late"], day(2), org="other", subjects=[1]))

    opened = log.open("other")

    assert log.batches(early) == []
    assert log.erased(opened) == ["late", "r0", "r1", "r5"]


def test_derived_records_follow_and_count_for_the_same_request() -> None:
    log = with_people(category("messages"), category("transcripts", targets=("lake",), min_retain="20 d"))
    log.frame(group(["t0", "t2"], day(2), category="transcripts", parents=["r0", "r2"]))
    sends = log.erase("request", 1)
    waiting = log.said()["waiting"]

    due = log.to_day(23)
    ack_all(log, sends + due)

    assert waiting == {"hold": 0, "min_retain": 1}
    assert log.erased(due, "lake") == ["t0"]
    assert {b.reason for b in log.batches(due)} == {"request"}
    assert log.said()["targets"]["lake"] == count(due=1, done=1, changed=1)


def test_a_derived_record_that_follows_already_is_counted_for_a_request_for_it() -> None:
    log = with_people(category("messages", "10 d"), category("transcripts", targets=("lake",), min_retain="60 d"))
    log.frame(group(["t0"], day(2), category="transcripts", parents=["r0"], subjects=[1]))
    ack_all(log, log.to_day(12))
    log.erase("request", 1)
    waiting = log.said()["waiting"]

    due = log.to_day(63)
    ack_all(log, due)

    assert waiting == {"hold": 0, "min_retain": 1}
    assert log.erased(due, "lake") == ["t0"]
    assert log.said()["targets"]["lake"] == count(due=1, done=1, changed=1)


def test_rows_of_a_target_that_the_rules_have_not_are_erased_once_they_have() -> None:
    log = ready(category("messages", "30 d"))
    log.frame(group(["r0", "r1"], day(1), target="lake", subjects=[1, 1]))
    log.to_day(2)
    log.erase("first", 1)
    log.to_day(40)
    log.erase("second", 1)

    sends = log.rules(rules(category("messages", "30 d", targets=("crm", "lake")), version=2))

    assert log.erased(sends, "lake") == ["r0", "r1"]
    ack_all(log, sends)
    assert log.said("first")["targets"] == log.said("second")["targets"] == {"lake": count(due=2, done=2, changed=2)}


def test_rows_that_wait_for_a_target_go_on_when_the_rules_have_it_no_longer() -> None:
    log = ready(category("messages", targets=("crm", "lake")), pending_batches=1, batch_records=2)
    log.frame(group(IDS, day(1), subjects=[1] * 6))
    log.to_day(2)
    sends = log.erase("request", 1)
    crm, lake = sorted(log.batches(sends), key=lambda b: b.target)
    log.rules(rules(category("messages"), version=2, pending_batches=1, batch_records=2))

    batches = ack_all(log, log.ack(crm))

    assert lake.ids == crm.ids
    assert sorted(i for b in [crm, *batches] for i in b.ids) == IDS


def large_and_other() -> LedgerLog:
    """Return a ledger that takes a step a record or so, with 300 records of one org and one of another."""
    log = ready(step_records=1)
    log.open("other")
    log.frame(*(group([f"{d}-{n}" for n in range(10)], day(d), subjects=[1] * 10) for d in range(1, 31)), min_segment=1)
    log.frame(group(["o1"], day(1), org="other", subjects=[1]), min_segment=1)
    log.to_day(32)
    return log


def test_a_large_org_is_searched_in_steps_and_other_requests_get_their_turn() -> None:
    log = large_and_other()
    log.erase("large", 2, run=False)
    log.erase("small", 1, org="other", run=False)
    steps = 0

    while "o1" not in log.erased():
        log.step()
        steps += 1
    while log.own:
        log.step()
        steps += 1

    assert steps > 25
    assert log.said("large")["scanned"]
    assert log.said("large")["found"] == 0


def test_of_an_orgs_requests_the_earliest_deadline_goes_first_and_another_org_still_gets_its_turn() -> None:
    log = large_and_other()
    for name, subject, deadline in (("whenever", 2, 0), ("late", 3, 9_000), ("soon", 4, 5_000)):
        log.erase(name, subject, deadline=deadline, run=False)
    log.erase("small", 1, org="other", deadline=1, run=False)
    ended: list[str] = []

    while log.own:
        log.step()
        searched = (name for name in ("whenever", "late", "soon") if log.said(name)["scanned"])
        ended += [name for name in searched if name not in ended]
        ended += ["other"] if "other" not in ended and "o1" in log.erased() else []

    assert ended == ["other", "soon", "late", "whenever"]


@pytest.mark.parametrize(
    ("who", "least", "most"),
    [pytest.param(2, 1, 12, id="nobody's, passed over"), pytest.param(1, 30, 120, id="everybody's, taken out")],
)
def test_a_step_passes_over_many_records_and_takes_out_few(who: int, least: int, most: int) -> None:
    log = ready(step_records=10, batch_records=1_000, pending_batches=1_000)
    log.frame(*(group([f"{d}-{n}" for n in range(10)], day(d), subjects=[1] * 10) for d in range(1, 31)), min_segment=1)
    log.to_day(32)
    log.erase("large", who, run=False)
    steps = 0

    while log.own:
        log.step()
        steps += 1

    assert least <= steps <= most
    assert log.said("large")["found"] == (300 if who == 1 else 0)


def test_what_is_found_in_many_segments_is_queued_together() -> None:
    log = ready(step_records=1_000)
    log.frame(
        *(group([f"{d}-{n}" for n in range(10)], day(d), subjects=[1, *[2] * 9]) for d in range(1, 31)), min_segment=1
    )
    log.to_day(32)

    log.erase("one", 1, run=False)
    log.step()

    assert log.said("one")["found"] == 30
    assert len(log.batches(log.sends)) == 1


def test_answers_are_few_however_many_acks_there_are() -> None:
    log = ready(batch_records=1, pending_batches=500)
    log.frame(group([f"r{n:03}" for n in range(200)], day(1), subjects=[1] * 200))
    log.to_day(2)
    sends = log.erase("request", 1)
    batches = log.batches(sends)

    answers = [a for batch in batches for a in log.answers(log.ack(batch))]

    assert len(batches) == 200
    assert len(answers) <= 200 // 16 + 2
    assert log.said()["targets"]["crm"] == count(due=200, done=200, changed=200)


def test_what_changed_and_was_not_told_is_told_the_next_day() -> None:
    log = ready(batch_records=1)
    log.frame(group(IDS, day(1), subjects=[1] * 6))
    log.to_day(2)
    batches = log.batches(log.erase("request", 1))
    same_day = log.ack(batches[0]) + log.ack(batches[1])

    sends = log.to_day(3)

    assert log.answers(same_day) == []
    assert len(log.answers(sends)) == 1
    assert log.said()["targets"]["crm"] == count(due=6, done=2, changed=2)
    assert log.answers(log.to_day(4)) == []


def test_versions_grow_and_an_entry_answers_once() -> None:
    log = with_people(pending_batches=1, batch_records=1)
    ack_all(log, log.erase("request", 1))

    versions = [a["version"] for a in log.answers(log.sends) if a["kind"] == "erase"]

    assert versions == sorted(set(versions))


def test_a_later_created_twin_is_a_new_relationship() -> None:
    log = with_people()
    ack_all(log, log.erase("request", 1, through=5))

    sends = log.frame(group(["r0"], day(6), subjects=[1]))

    assert log.batches(sends) == []
    assert log.erased(log.to_day(97)) == ["r0", "r2", "r3", "r4"]


def test_an_org_without_requests_pays_with_no_row() -> None:
    log = with_people()
    log.to_day(92)

    kinds = (keys.REQUEST, keys.REQUEST_BODY, keys.REQUEST_FOUND, keys.SCAN, keys.UNTOLD)

    assert [kind for kind in kinds if list(log.store.scan(kind))] == []


def test_a_long_lived_ledger_does_the_same_as_one_that_starts_anew() -> None:
    states: list[Any] = []
    for fresh in (True, False):
        log = ready(category("messages", "400 d", min_retain="20 d"), fresh=fresh)
        log.frame(group(IDS, day(1), subjects=PEOPLE))
        log.hold("one", subjects=[2])
        log.erase("a", 1)
        log.hold("two", records=["r1"])
        log.erase("b", 2, 3)
        log.release("one")
        log.frame(group(["late"], day(2), subjects=[3]))
        log.release("two")
        ack_all(log, log.to_day(25))
        states.append((log.store.rows(), log.sends))  # type: ignore[attr-defined]

    assert states[0] == states[1]


def test_records_that_lie_far_apart_go_in_few_batches() -> None:
    log = ready(category("messages"), category("files"))
    for number in range(1, 31):
        log.frame(*(group([f"{c}{number}"], day(number), category=c, subjects=[1]) for c in ("messages", "files")))
    log.to_day(32)

    batches = log.batches(log.erase("request", 1))

    assert [len(b.ids) for b in batches] == [30, 30]


def test_records_that_lie_far_apart_and_wait_for_room_go_in_few_batches() -> None:
    log = ready(category("messages"), batch_records=10, pending_batches=2)
    for number in range(1, 31):
        log.frame(group([f"r{number}"], day(number), subjects=[1]))
    log.to_day(32)

    batches = log.batches(log.erase("request", 1))
    later = log.batches([send for batch in batches for send in log.ack(batch)])

    assert [len(b.ids) for b in (*batches, *later)] == [10, 10, 10]
    assert log.said()["targets"]["crm"]["due"] == 30


def test_rows_that_are_put_to_wait_do_not_block_a_target_that_has_nothing_on_its_way() -> None:
    log = with_people(category("messages"))
    context = Context(
        partition=0, partitions=4, answer_partitions=4, topics=TOPICS, codec=CODEC, memo_bytes=1 << 20
    )  # fmt: skip
    work = Work(context, log.store, log.offset)
    columns = group(IDS, day(1), subjects=PEOPLE)[1]

    waiting.force(work, "crm", Rows(org="acme", category="messages", target="crm", columns=columns))

    assert work.target("crm").forced
    assert not work.target("crm").blocked
