"""What the brake of the sweep promises: nothing unusual is decided before a person has approved exactly that."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.brake import Brake, Limits
from schemas.policy import Setting
from schemas.rules import CategoryRules
from streams.ledger import brake_rows, keys, select_list, stats
from streams.ledger.brake_rows import BrakeRow
from streams.ledger.rows import PairRow
from streams.ledger.set_digest import SetDigest
from streams.reducer import Send
from tests.support.ledger_log import LedgerLog, category, day, group, intents, ready, rules

IDS = [f"r{n:04}" for n in range(2000)]
HALF = Limits(share=0.5, at_least=11)


def braked_log(*categories: CategoryRules, limits: Limits = HALF, **values: Any) -> LedgerLog:
    return ready(*categories, brake=Brake(limits=limits), pending_batches=1000, **values)


def short(period: str = "1 d", name: str = "messages", **values: str) -> Setting:
    return Setting(category=name, period=period, **values)


def filled(*, days: int = 10, per_day: int = 10, **values: Any) -> LedgerLog:
    """Return a ledger with some records of each of some days, none of which is due."""
    log = braked_log(category("messages", "365 d"), category("logs", "365 d"), **values)
    for n in range(days):
        ids = IDS[n * per_day : (n + 1) * per_day]
        log.frame(group(ids, day(n)), group([f"l-{i}" for i in ids], day(n), category="logs"))
    log.to_day(days)
    return log


def states(log: LedgerLog, sends: list[Send] | None = None) -> list[str]:
    return [told["state"] for told in log.brakes(sends)]


def plan_of(log: LedgerLog) -> dict[str, Any]:
    plan: dict[str, Any] = log.brakes()[-1]["plan"]
    return plan


def test_a_policy_shortened_by_mistake_decides_nothing_and_tells_its_plan() -> None:
    log = filled()

    sends = log.policy(short(), version=1)

    assert log.erased(sends) == []
    assert states(log, sends) == ["braked"]
    plan = plan_of(log)
    assert (plan["day"], plan["records"], plan["targets"], plan["action"]) == (10, 90, {"crm": 90}, "delete")
    assert len(plan["digest"]) == 64
    log.to_day(12)
    assert log.erased() == []


def test_a_list_of_a_brake_that_was_lifted_is_nobodys_plan() -> None:
    log = filled(step_records=5)
    braking = rules(
        category("messages", "365 d"), category("logs"), version=3, brake=Brake(limits=HALF), step_records=5
    )
    log.policy(short(), version=1, run=False)
    while not stats.clock(log.store).selects:
        log.step()
    log.step()
    log.rules(rules(category("messages", "365 d"), category("logs"), version=2, step_records=5), run=False)
    while stats.clock(log.store).brakes:
        log.step()
    assert stats.clock(log.store).selects == 0  # its list goes with it

    log.rules(braking, run=False)
    log.run()

    plan = plan_of(log)
    assert plan["records"] == 90 - len(log.erased())
    assert [key for key, _ in log.store.scan(keys.SCRATCH)] == []


def test_what_another_list_has_counted_is_not_the_plan() -> None:
    log = filled()
    log.policy(short(), version=1)
    log.approve(plan_of(log), run=False)
    key, value = next(log.store.scan(keys.BRAKE))
    row = BrakeRow.unpack(value)
    row.listing += 1
    log.store.put(key, row.pack())

    log.run()

    assert (states(log)[-1], log.erased()) == ("checking", [])


def test_another_number_of_records_is_another_plan_whatever_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SetDigest, "hex", lambda _: "0" * 64)
    log = filled()
    log.policy(short(), version=1)
    plan = plan_of(log)
    log.frame(group([IDS[5]], day(9), kind="deleted"))

    log.approve(plan)

    assert log.erased() == []
    assert "void" in states(log)


def test_other_categories_and_orgs_go_on() -> None:
    log = filled()
    log.open("globex")
    log.frame(group(["g1", "g2"], day(3), org="globex"))

    log.policy(short(), short("370 d", "logs"), version=1)
    log.policy(short(), org="globex", version=1)

    assert log.erased() == ["g1", "g2"]
    assert states(log)[-1] == "braked"


def test_what_is_within_the_limits_is_not_looked_at_by_a_person() -> None:
    log = filled()

    log.policy(short("5 d"), version=1)

    assert log.erased() == IDS[:50]
    assert log.brakes() == []
    assert stats.clock(log.store).brakes == 0


def test_fewer_records_than_at_least_always_go() -> None:
    log = braked_log(category("messages", "30 d"), limits=Limits(share=0.1, at_least=51))
    log.frame(group(IDS[:50], day(0)))

    log.to_day(31)

    assert log.erased() == IDS[:50]


def test_of_a_day_no_more_go_than_the_rate_allows() -> None:
    log = braked_log(category("messages", "30 d"), limits=Limits(share=1, at_least=10, per_day=60))
    log.frame(group(IDS[:50], day(0)))
    log.to_day(31)
    log.frame(group(IDS[50:60], day(0)))
    log.frame(group(IDS[60:61], day(0)))

    assert log.erased() == IDS[:60]
    assert (states(log)[-1], log.brakes()[-1]["why"], plan_of(log)["records"]) == ("braked", "per_day", 1)


def test_an_approval_takes_nothing_of_the_days_allowance_and_gives_no_other() -> None:
    log = braked_log(category("messages", "30 d"), limits=Limits(share=1, at_least=10, per_day=60))
    log.frame(group(IDS[:50], day(0)))
    log.to_day(31)
    log.frame(group(IDS[50:71], day(0)))
    log.approve(plan_of(log))
    assert (states(log)[-1], log.erased()) == ("done", IDS[:71])

    log.frame(group(IDS[71:81], day(0)))  # the ten that are left of the day's
    assert log.erased() == IDS[:81]
    log.frame(group(IDS[81:82], day(0)))

    assert (states(log)[-1], log.erased()) == ("braked", IDS[:81])


def test_exactly_the_approved_plan_is_carried_out_and_the_brake_is_gone() -> None:
    log = filled(step_records=20)
    log.policy(short(), version=1)

    sends = log.approve(plan_of(log))

    assert log.erased(sends) == IDS[:90]
    assert states(log, sends) == ["checking", "approved", "done"]
    assert not list(log.store.scan(keys.BRAKE))
    assert stats.clock(log.store).brakes == 0
    assert log.erased(log.to_day(11)) == IDS[90:100]  # and what is due later goes as ever


@pytest.mark.parametrize("when", ["before", "while it is counted", "while it is carried out"])
def test_one_record_more_and_the_approval_is_void(when: str) -> None:
    log = filled(step_records=5)
    log.policy(short(), version=1)
    plan = plan_of(log)
    more = group(["more"], day(2))

    if when == "before":
        log.frame(more)
        log.approve(plan)
    else:
        log.approve(plan, run=False)
        while (log.erased() == []) if when == "while it is carried out" else (log.steps % 7):
            log.step()
        log.frame(more, run=False)
        log.run()

    assert "more" not in log.erased()
    assert "void" in states(log)
    assert states(log)[-1] == "braked"
    again = plan_of(log)
    assert again["digest"] != plan["digest"]
    assert again["records"] == 91 - len(log.erased())
    log.approve(plan)
    assert "more" not in log.erased()
    log.approve(plan_of(log))
    assert log.erased() == sorted([*IDS[:90], "more"])


def test_one_record_fewer_and_the_approval_is_void() -> None:
    log = filled()
    log.policy(short(), version=1)
    plan = plan_of(log)
    log.frame(group([IDS[5]], day(9), kind="deleted"))

    log.approve(plan)

    assert log.erased() == []
    assert states(log)[-2:] == ["void", "braked"]
    assert plan_of(log)["records"] == 89
    log.approve(plan_of(log))
    assert log.erased() == sorted({*IDS[:90]} - {IDS[5]})


def test_a_hold_while_braked_takes_its_records_out_of_the_plan() -> None:
    log = filled()
    log.policy(short(), version=1)
    plan = plan_of(log)

    log.hold(records=IDS[:3])

    assert plan_of(log)["records"] == 87
    log.approve(plan)
    assert log.erased() == []
    log.approve(plan_of(log))
    assert log.erased() == IDS[3:90]


def test_another_digest_approves_nothing() -> None:
    log = filled()
    log.policy(short(), version=1)

    log.approve({**plan_of(log), "digest": "0" * 64})
    log.approve({**plan_of(log), "day": 9})

    assert log.erased() == []
    assert states(log)[-4:] == ["void", "braked", "void", "braked"]


@pytest.mark.parametrize("mended", ["policy", "rules", "off", "hold"])
def test_what_mends_the_cause_lifts_the_brake_by_itself(mended: str) -> None:
    log = filled()
    log.policy(short(), version=1)

    match mended:
        case "policy":
            log.policy(short("365 d"), version=2)
        case "rules":
            looser = Brake(limits=Limits(share=1.0))
            log.rules(rules(category("messages", "365 d"), category("logs"), version=2, brake=looser))
        case "off":
            log.rules(rules(category("messages", "365 d"), category("logs"), version=2))
        case _:
            log.hold(categories=["messages"])

    assert states(log)[-1] == "lifted"
    assert log.erased() == (IDS[:90] if mended in ("rules", "off") else [])
    assert not list(log.store.scan(keys.BRAKE))


def test_a_plan_stands_as_of_its_day_and_what_is_due_since_waits_for_its_end() -> None:
    log = filled(batch_records=10)
    log.policy(short("3 d"), version=1)
    plan = plan_of(log)
    log.to_day(11)

    log.approve(plan)

    assert log.erased() == IDS[:80]  # the plan, and then what is due since: within the limits
    assert plan["records"] == 70
    assert "void" not in states(log)


def test_what_a_target_gives_back_does_not_make_the_approval_void() -> None:
    log = filled()
    log.policy(short(), version=1)
    sends = log.approve(plan_of(log), run=False)
    sends += log.run()
    first = log.batches(sends)[0]
    log.ack(first, withheld=[0])

    log.to_day(11)

    assert first.ids[0] in log.erased(log.sends[-40:])
    assert "void" not in states(log)


def test_a_record_that_was_approved_goes_with_what_is_derived_from_it() -> None:
    log = filled()
    log.frame(group(["thumb"], day(9), category="logs", parents=[IDS[0]]))
    log.policy(short(), version=1)

    log.approve(plan_of(log))

    assert "thumb" in log.erased()


def test_clocks_that_events_start_are_braked_as_well() -> None:
    log = braked_log(category("messages", "10 d", clock="deactivation"))
    log.frame(group(IDS[:100], day(0)))
    log.frame(group(IDS[:80], day(1), kind="deactivated"))

    log.to_day(12)

    assert (states(log)[-1], plan_of(log)["records"], log.erased()) == ("braked", 80, [])
    log.approve(plan_of(log))
    assert log.erased() == IDS[:80]


def test_an_event_more_voids_the_approval_of_such_a_clock() -> None:
    log = braked_log(category("messages", "10 d", clock="deactivation"))
    log.frame(group(IDS[:100], day(0)))
    log.frame(group(IDS[:80], day(1), kind="deactivated"))
    log.to_day(12)
    plan = plan_of(log)
    log.approve(plan, run=False)
    log.frame(group(IDS[80:81], day(1), kind="deactivated"), run=False)

    log.run()

    assert (states(log)[-1], log.erased()) == ("braked", [])
    assert plan_of(log)["records"] == 81


def test_the_end_of_a_whole_org_is_braked_and_approved() -> None:
    log = braked_log(category("messages", "10 d", clock="deactivation"))
    log.frame(group(IDS[:100], day(0)))
    log.frame(group([""], day(1), kind="deactivated", category=""))

    log.to_day(12)

    assert (states(log)[-1], log.erased()) == ("braked", [])
    log.approve(plan_of(log))
    assert log.erased() == IDS[:100]


def test_a_plan_of_such_a_clock_is_carried_out_whole_on_a_later_day() -> None:
    limits = Limits(share=0.1, at_least=5)
    log = braked_log(category("messages", "10 d", clock="deactivation"), step_records=20, limits=limits)
    for n in range(40):
        log.frame(group(IDS[n * 20 : n * 20 + 20], day(n / 5)))
    log.frame(group(IDS[:700], day(9), kind="deactivated"))
    log.to_day(20)
    plan = plan_of(log)
    log.to_day(22)

    log.approve(plan)

    assert log.erased() == IDS[:700]
    assert states(log) == ["braked", "checking", "approved", "done"]
    assert stats.clock(log.store).brakes == 0


def test_such_a_plan_of_all_that_there_is_leaves_no_brake_behind() -> None:
    log = braked_log(category("messages", "10 d", clock="deactivation"), step_records=20)
    log.frame(group(IDS[:100], day(0)))
    log.frame(group(IDS[:100], day(1), kind="deactivated"))
    log.to_day(12)
    plan = plan_of(log)
    log.to_day(200)  # by when the events are forgotten with the last record

    log.approve(plan)

    assert log.erased() == IDS[:100]
    assert states(log)[-1] == "done"
    assert stats.clock(log.store).brakes == 0
    assert not list(log.store.scan(keys.BRAKE))


@pytest.mark.parametrize("step", [100, 10_000])
@pytest.mark.parametrize("by", ["clock", "hold"])
def test_rows_that_must_come_back_first_are_part_of_the_plan(by: str, step: int) -> None:
    log = braked_log(category("messages", "30 d", clock="last_activity"), step_records=step)
    for n in range(20):
        log.frame(group(IDS[n * 50 : n * 50 + 50], day(n)))
        log.frame(group(IDS[n * 50 + 5 : n * 50 + 50], day(25), kind="touched"))
    if by == "hold":
        log.hold(records=IDS[:1])
    for n in range(31, 51):
        log.to_day(n)
    before = len(log.erased())
    log.policy(short("1 d", clock="last_activity"), version=1)
    if by == "hold":
        log.release()
    else:
        log.policy(short("1 d", clock="created"), version=2)
    plan = plan_of(log)
    assert any(PairRow.unpack(value).gather for _, value in log.store.scan(keys.PAIR))

    sends = log.approve(plan)

    assert states(log, sends) == ["checking", "approved", "done"]
    assert len(log.erased()) - before == plan["records"]


def test_a_record_more_while_rows_come_back_voids_the_approval() -> None:
    log = braked_log(category("messages", "30 d", clock="last_activity"), step_records=50)
    for n in range(20):
        log.frame(group(IDS[n * 50 : n * 50 + 50], day(n)))
        log.frame(group(IDS[n * 50 + 5 : n * 50 + 50], day(25), kind="touched"))
    for n in range(31, 51):
        log.to_day(n)
    before = len(log.erased())
    log.policy(short("1 d", clock="last_activity"), version=1)
    log.policy(short("1 d", clock="created"), version=2)
    log.approve(plan_of(log), run=False)
    while "approved" not in states(log):
        log.step()
    log.step()

    log.frame(group(["more"], day(2)), run=False)
    log.run()

    assert states(log)[-2:] == ["void", "braked"]
    assert plan_of(log)["records"] == 901
    assert len(log.erased()) == before


def test_requests_erase_what_is_braked() -> None:
    log = braked_log(category("messages", "365 d"))
    log.frame(group(IDS[:100], day(0), subjects=[n % 2 for n in range(100)]))
    log.to_day(3)
    log.policy(short(), version=1)
    plan = plan_of(log)

    log.erase("request", 1)

    assert len(log.erased()) == 50
    log.approve(plan)
    assert len(log.erased()) == 50
    assert plan_of(log)["records"] == 50


def test_a_backfill_of_wrong_days_is_braked() -> None:
    log = braked_log(category("messages", "30 d"))
    log.to_day(100)
    log.frame(group(IDS[:20], day(99)))
    for n in range(4):
        log.frame(group(IDS[20 + n * 20 : 40 + n * 20], day(n)))

    assert len(log.erased()) <= 50
    assert states(log)[-1] == "braked"


def test_a_count_of_many_segments_is_made_in_steps() -> None:
    log = filled(days=40, per_day=10, step_records=3)

    log.policy(short("15 d"), version=1)

    assert sorted(log.erased()) == []
    assert plan_of(log)["records"] == 250
    log.approve(plan_of(log))
    assert log.erased() == IDS[:250]


def test_the_same_plan_has_the_same_digest_however_it_lies() -> None:
    digests = set()
    for size in (1, 7, 30):
        log = braked_log(category("messages", "365 d"))
        for start in range(0, 60, size):
            log.frame(group(IDS[start : min(start + size, 60)], day(1)))
        log.to_day(5)
        log.policy(short(), version=1)
        digests.add(plan_of(log)["digest"])

    assert len(digests) == 1


def test_each_turn_is_told_to_the_audit_log() -> None:
    log = filled()
    log.policy(short(), version=1)
    log.approve(plan_of(log))

    told = [one["facts"]["state"] for one in intents(log.sends, "brake")]

    assert told == ["braked", "checking", "approved", "done"]


def test_a_pair_of_few_records_pays_nothing() -> None:
    log = braked_log(category("messages", "30 d"))
    log.frame(group(IDS[:9], day(0)))

    log.to_day(31)

    pairs = [PairRow.unpack(value) for _, value in log.store.scan(keys.PAIR)]
    assert log.erased() == IDS[:9]
    assert all((pair.sure, pair.measure, pair.braked) == (-1, None, brake_rows.FREE) for pair in pairs)


def test_what_only_headers_count_is_not_told_to_anybody() -> None:
    log = braked_log(category("messages", "30 d"), limits=Limits(share=0.5, at_least=30))
    log.frame(group(IDS[:60], day(0)), group(IDS[60:100], day(50)))
    log.frame(group(IDS[:40], day(20), kind="deleted"))

    log.to_day(31)

    assert log.erased() == IDS[40:60]
    assert log.brakes() == []


def test_marks_that_were_looked_up_long_ago_count_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    begin = select_list.begin
    monkeypatch.setattr(select_list, "begin", lambda work, org, *more: (listed.append(org), begin(work, org, *more))[1])
    log = braked_log(category("messages", "10 d", clock="deactivation"), limits=Limits(share=0.3, at_least=15))
    log.frame(group(IDS[:100], day(0)))
    for n in range(8):
        log.frame(group(IDS[n * 10 : n * 10 + 10], day(1 + n), kind="deactivated"))

    for n in range(12, 30):
        log.to_day(n)

    assert log.erased() == IDS[:80]
    assert len(listed) < 6  # before the first pass, and after segments were rewritten; else headers alone tell
