"""R2 and L1 as a table: what starts each clock, and what stops it."""

from __future__ import annotations

import pytest

from schemas.policy import Setting
from tests.support.ledger_log import LedgerLog, category, day, group, ready


def on(log: LedgerLog, *days: int) -> dict[int, list[str]]:
    """Let each day come, and the target do as it is told; return what each day erased."""
    found = {}
    for number in days:
        sends = log.to_day(number)
        if erased := log.erased(sends):
            found[number] = erased
        acknowledge(log)
    return found


def acknowledge(log: LedgerLog) -> None:
    for batch in log.batches():
        log.ack(batch)


def test_a_touch_restarts_the_period_under_last_activity() -> None:
    log = ready(category("messages", "30 d", clock="last_activity"))
    log.frame(group(["touched", "quiet"], day(0)))
    log.frame(group(["touched"], day(20), kind="touched"))

    erased = on(log, 30, 31, 50, 51)

    assert erased == {31: ["quiet"], 51: ["touched"]}


def test_touches_count_only_under_last_activity() -> None:
    log = ready(category("messages", "30 d"))
    log.frame(group(["a"], day(0)))
    log.frame(group(["a"], day(20), kind="touched"))

    erased = on(log, 30, 31)

    assert erased == {31: ["a"]}


def test_a_touch_older_than_creation_changes_nothing() -> None:
    log = ready(category("messages", "30 d", clock="last_activity"))
    log.frame(group(["a"], day(10)))
    log.frame(group(["a"], day(5), kind="touched"))

    erased = on(log, 40, 41)

    assert erased == {41: ["a"]}


def test_a_record_touched_when_due_and_before_the_sweep_stays() -> None:
    log = ready(category("messages", "30 d", clock="last_activity"))
    log.frame(group(["a"], day(0)))
    log.to_day(31, run=False)
    log.frame(group(["a"], day(30.9), kind="touched"), run=False)

    sends = log.run()
    erased = on(log, 60, 61)

    assert log.erased(sends) == []
    assert erased == {61: ["a"]}


def test_a_touched_record_goes_by_creation_once_the_policy_says_so() -> None:
    log = ready(category("messages", "30 d", clock="last_activity"))
    log.frame(group(["a"], day(0)))
    log.frame(group(["a"], day(25), kind="touched"))
    kept = on(log, 31)

    sends = log.policy(Setting(category="messages", period="30 d", clock="created"), version=1)

    assert kept == {}
    assert log.erased(sends) == ["a"]


def test_a_record_touched_again_and_again_stays_until_the_last_touch_is_due() -> None:
    log = ready(category("messages", "30 d", clock="last_activity"))
    log.frame(group(["a"], day(0)))
    for number in range(5, 100, 5):
        log.to_day(number)
        log.frame(group(["a"], day(number), kind="touched"))

    erased = on(log, 100, 125, 126)

    assert erased == {126: ["a"]}


def test_an_org_deactivated_lingers_and_is_then_collected() -> None:
    log = ready(category("instances", "29 d", clock="deactivation"))
    log.frame(group(["a"], day(0), category="instances"))
    log.frame(group([""], day(100), kind="deactivated", category=""))

    erased = on(log, 50, 100, 129, 130)

    assert erased == {130: ["a"]}


def test_an_org_reactivated_keeps_what_it_had() -> None:
    log = ready(category("instances", "29 d", clock="deactivation"))
    log.frame(group(["a"], day(0), category="instances"))
    log.frame(group([""], day(100), kind="deactivated", category=""))
    log.frame(group([""], day(120), kind="reactivated", category=""))

    erased = on(log, 130, 200)

    assert erased == {}


def test_single_records_are_deactivated_and_reactivated() -> None:
    log = ready(category("instances", "29 d", clock="deactivation"))
    log.frame(group(["gone", "back", "active"], day(0), category="instances"))
    log.frame(group(["gone", "back"], day(100), kind="deactivated", category="instances"))
    log.frame(group(["back"], day(110), kind="reactivated", category="instances"))

    erased = on(log, 129, 130, 131, 300)

    assert erased == {130: ["gone"]}


def test_a_reactivated_record_of_a_deactivated_org_stays_until_it_is_deactivated_again() -> None:
    log = ready(category("instances", "29 d", clock="deactivation"))
    log.frame(group(["a", "kept"], day(0), category="instances"))
    log.frame(group([""], day(100), kind="deactivated", category="instances"))
    log.frame(group(["kept"], day(110), kind="reactivated", category="instances"))
    first = on(log, 130, 200)
    log.frame(group(["kept"], day(200), kind="deactivated", category="instances"))

    second = on(log, 229, 230)

    assert first == {130: ["a"]}
    assert second == {230: ["kept"]}


def test_a_second_deactivation_of_the_org_takes_what_the_first_had_left() -> None:
    log = ready(category("instances", "29 d", clock="deactivation"))
    log.frame(group(["kept"], day(0), category="instances"))
    log.frame(group([""], day(100), kind="deactivated", category=""))
    log.frame(group(["kept"], day(110), kind="reactivated", category="instances"))
    first = on(log, 130, 131)
    log.frame(group([""], day(140), kind="deactivated", category=""))

    second = on(log, 169, 170)

    assert first == {}
    assert second == {170: ["kept"]}


def test_a_record_that_arrives_after_its_deactivation_was_due_goes_too() -> None:
    log = ready(category("instances", "10 d", clock="deactivation"))
    log.frame(group(["first", "late"], day(20), kind="deactivated", category="instances"))
    log.frame(group(["first"], day(1), category="instances"))
    first = on(log, 31)

    sends = log.frame(group(["late"], day(2), category="instances"), min_segment=1)

    assert first == {31: ["first"]}
    assert log.erased(sends) == ["late"]


def test_a_deactivation_told_late_is_due_at_once() -> None:
    log = ready(category("instances", "10 d", clock="deactivation"))
    log.frame(group(["a"], day(1), category="instances"))
    log.to_day(60)

    sends = log.frame(group(["a"], day(20), kind="deactivated", category="instances"))

    assert log.erased(sends) == ["a"]


def test_a_deactivation_before_creation_concerns_another_record() -> None:
    log = ready(category("instances", "10 d", clock="deactivation"))
    log.frame(group(["a"], day(20), kind="deactivated", category="instances"))
    log.frame(group(["a"], day(30), category="instances"))

    erased = on(log, 31, 60, 100)

    assert erased == {}


def test_a_named_event_starts_the_clock_and_its_repeat_restarts_it() -> None:
    log = ready(category("cases", "10 d", clock="named:closed"))
    log.frame(group(["a", "b", "open"], day(0), category="cases"))
    log.frame(group(["a", "b"], day(20), kind="named", name="closed", category="cases"))
    log.frame(group(["a", "b", "open"], day(20), kind="named", name="seen", category="cases"))
    log.frame(group(["b"], day(25), kind="named", name="closed", category="cases"))

    erased = on(log, 30, 31, 35, 36, 100)

    assert erased == {31: ["a"], 36: ["b"]}


def test_a_named_event_of_the_org_counts_for_all_its_records_but_those_with_a_later_one() -> None:
    log = ready(category("cases", "10 d", clock="named:closed"))
    log.frame(group(["a", "b"], day(0), category="cases"))
    log.frame(group([""], day(20), kind="named", name="closed", category=""))
    log.frame(group(["b"], day(25), kind="named", name="closed", category="cases"))

    erased = on(log, 30, 31, 35, 36)

    assert erased == {31: ["a"], 36: ["b"]}


def test_records_created_after_an_orgs_event_count_from_creation() -> None:
    log = ready(category("instances", "10 d", clock="deactivation"))
    log.frame(group([""], day(20), kind="deactivated", category=""))
    log.frame(group(["a"], day(25), category="instances"))

    erased = on(log, 31, 35, 36)

    assert erased == {36: ["a"]}


@pytest.mark.parametrize("by_event", [True, False], ids=["by event", "by the org's facts"])
def test_a_contract_end_moves_later_earlier_and_away(by_event: bool) -> None:
    log = ready(category("deals", "30 d", clock="contract_end"))
    log.frame(group(["a"], day(0), category="deals"))
    version = 1

    def end(number: int) -> None:
        nonlocal version
        version += 1
        if by_event:
            log.frame(group([""], day(number), kind="contract", category=""))
        else:
            log.open(version=version, contract_end=number * 86_400_000)

    end(100)
    end(200)  # later: day 131 passes
    later = on(log, 131)
    end(0)  # none: nothing is due
    none = on(log, 231, 300)
    end(250)  # earlier than today: due at once

    assert later == {}
    assert none == {}
    assert log.erased() == ["a"]


def test_a_record_has_a_contract_end_of_its_own() -> None:
    log = ready(category("deals", "10 d", clock="contract_end"))
    log.frame(group(["own", "orgs", "freed"], day(0), category="deals"))
    log.frame(group([""], day(50), kind="contract", category=""))
    log.frame(group(["own"], day(80), kind="contract", category="deals"))
    log.frame(group(["freed"], day(90), kind="contract", category="deals"))
    first = on(log, 61)
    log.frame(group(["freed"], day(0), kind="contract", category="deals"))  # 0: none, so the org's holds

    second = on(log, 62, 90, 91)

    assert first == {61: ["orgs"]}
    assert "freed" in log.erased()
    assert second == {91: ["own"]}


def test_two_contract_ends_in_one_frame_count_in_their_order() -> None:
    log = ready(category("deals", "10 d", clock="contract_end"))
    log.frame(group(["a"], day(0), category="deals"))
    later, earlier = (group([""], day(number), kind="contract", category="") for number in (90, 50))
    headers = [
        (type(header)(kind=header.kind, org=header.org, category="", day=header.day, first=at, next=at + 1), columns)
        for at, (header, columns) in enumerate([later, earlier], start=1)
    ]
    log.frame(*headers, replay=(1, 3))

    erased = on(log, 60, 61)

    assert erased == {61: ["a"]}


def test_a_clock_changed_by_policy_takes_up_the_marks_that_were_there() -> None:
    log = ready(category("instances", "30 d", clock="created"))
    log.frame(group(["a", "b"], day(0), category="instances"))
    log.frame(group(["a"], day(5), kind="deactivated", category="instances"))
    log.to_day(20)

    sends = log.policy(Setting(category="instances", period="10 d", clock="deactivation"), version=1)
    acknowledge(log)
    later = on(log, 31, 90)

    assert log.erased(sends) == ["a"]
    assert later == {}


def test_a_period_lengthened_and_shortened_again_misses_no_marked_record() -> None:
    log = ready(category("instances", "10 d", clock="deactivation"))
    log.frame(group(["a", "b"], day(0), category="instances"))
    log.frame(group(["a"], day(20), kind="deactivated", category="instances"))
    first = on(log, 31)
    log.policy(Setting(category="instances", period="100 d", clock="deactivation"), version=1)
    log.frame(group(["b"], day(21), kind="deactivated", category="instances"))
    second = on(log, 40)

    sends = log.policy(Setting(category="instances", period="10 d", clock="deactivation"), version=2)

    assert first == {31: ["a"]}
    assert second == {}
    assert log.erased(sends) == ["b"]


def test_a_contract_that_ended_before_a_record_was_created_counts_from_its_creation() -> None:
    log = ready(category("deals", "10 d", clock="contract_end"))
    log.frame(group(["a", "b"], day(20), kind="contract", category="deals"))
    log.frame(group(["a"], day(0), category="deals"), group(["b"], day(26), category="deals"))

    erased = on(log, 30, 31, 36, 37)

    assert erased == {31: ["a"], 37: ["b"]}


def test_a_contract_that_ends_in_future_leaves_the_ledger_quiet_until_then() -> None:
    log = ready(category("deals", "10 d", clock="contract_end"))
    log.frame(group(["a"], day(0), category="deals"))
    log.frame(group(["a"], day(500), kind="contract", category="deals"))

    erased = on(log, 50, 510, 511)

    assert erased == {511: ["a"]}
    assert log.steps < 20


def test_an_orgs_unchanged_facts_do_not_undo_what_a_contract_event_said() -> None:
    log = ready(category("deals", "10 d", clock="contract_end"))
    log.frame(group(["a"], day(0), category="deals"))
    log.frame(group([""], day(50), kind="contract", category=""))
    log.open(version=9)

    erased = on(log, 60, 61)

    assert erased == {61: ["a"]}


def test_a_contract_end_stands_while_its_record_waits_in_a_pack() -> None:
    log = ready(category("messages", "30 d", clock="contract_end"))
    log.to_day(200)
    log.frame(group(["a"], day(190)), group(["b"], day(190), org="closed"))
    log.frame(group(["a"], day(100), kind="contract"))

    erased = on(log, 201, 221)

    assert erased == {221: ["a"]}


def test_an_old_contract_end_does_not_come_back_when_a_later_told_one_is_past() -> None:
    log = ready(category("messages", "30 d", clock="contract_end"))
    log.frame(group(["a"], day(500), kind="contract"))
    log.frame(group(["a"], day(20), kind="contract"))
    log.to_day(80)
    log.frame(group(["a"], day(70)))

    erased = on(log, 81, 101, 600)

    assert erased == {101: ["a"]}


def test_an_orgs_event_reaches_records_that_are_the_first_of_their_category_in_the_same_frame() -> None:
    log = ready(category("messages", "30 d", clock="contract_end"))
    contract = group([""], day(10), kind="contract", category="")
    log.frame(group(["r1"], day(0)), contract, min_segment=1)

    sends = log.to_day(41)

    assert log.erased(sends) == ["r1"]
