"""What a preview promises: it counts, to the record, what the ledger would then erase, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.policy import Setting
from streams.ledger import keys
from streams.reducer import Send
from tests.support.ledger_log import DAY_S, LedgerLog, category, day, group, ready, rules

LONG = "3000 d"
IDS = [f"r{n:03}" for n in range(300)]


def setting(period: str, clock: str = "", name: str = "messages", **values: str) -> Setting:
    return Setting(category=name, period=period, clock=clock, **values)


def answer(log: LedgerLog, sends: list[Send]) -> dict[str, Any]:
    (found,) = [a for a in log.answers(sends) if a["kind"] == "preview"]
    assert found["error"] == ""
    body: dict[str, Any] = json.loads(found["body"])
    return body


def counts(log: LedgerLog, *settings: Setting, day: int = -1) -> dict[str, dict[str, int]]:
    """Ask for a preview; return by category how many records go from each target."""
    body = answer(log, log.preview(*settings, day=day))
    assert body["exact"]
    return {
        name: {t: n for t, n in c["targets"].items() if n} for name, c in body["categories"].items() if c["records"]
    }


def erased(log: LedgerLog, *sends: Send) -> dict[str, dict[str, int]]:
    """Let every target answer until nothing more is sent; return by category how many ids were sent to each."""
    found: dict[str, dict[str, set[str]]] = {}
    waiting = log.batches(sends)
    while waiting:
        for batch in waiting:
            found.setdefault(batch.category, {}).setdefault(batch.target, set()).update(batch.ids)
        waiting = log.batches([send for batch in waiting for send in log.ack(batch)])
    return {name: {target: len(ids) for target, ids in targets.items()} for name, targets in found.items()}


def hold_against_what_is_erased(log: LedgerLog, *settings: Setting) -> dict[str, dict[str, int]]:
    """Preview settings and then set them: what is counted must be what is erased."""
    before = counts(log, *settings)
    after = erased(log, *log.policy(*settings, version=7))
    assert before == after
    return before


def records(log: LedgerLog, kind: str = "record", *ids: str, at: float, target: str = "", name: str = "") -> None:
    log.frame(group(ids, day(at), kind=kind, target=target, name=name))


def by_creation(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:3], day(0)), group(IDS[3:5], day(60)), group(IDS[5:9], day(70)))
    log.to_day(100)
    return setting("30 d")


def by_last_activity(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:4], day(0)))
    log.frame(group(IDS[:2], day(95), kind="touched"))
    log.frame(group(IDS[2:3], day(50), kind="touched"))
    log.to_day(100)
    return setting("30 d", "last_activity")


def by_deactivation(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:4], day(0)))
    log.frame(group(IDS[:3], day(10), kind="deactivated"), group(IDS[:1], day(20), kind="reactivated"))
    log.to_day(100)
    return setting("30 d", "deactivation")


def by_the_orgs_deactivation(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:4], day(0)), group(IDS[4:6], day(90)))
    log.frame(group([""], day(10), kind="deactivated", category=""))
    log.frame(group(IDS[:1], day(20), kind="reactivated"))
    log.to_day(100)
    return setting("30 d", "deactivation")


def by_a_named_event(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:4], day(0)))
    log.frame(group(IDS[:2], day(10), kind="named", name="closed"), group(IDS[2:4], day(10), kind="named", name="paid"))
    log.to_day(100)
    return setting("30 d", "named:closed")


def by_a_records_contract_end(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:4], day(0)))
    log.frame(group(IDS[:2], day(40), kind="contract"))
    log.frame(group(IDS[2:3], day(90), kind="contract"))
    log.to_day(100)
    return setting("while_active + 30 d")


def by_the_orgs_contract_end(log: LedgerLog) -> Setting:
    log.frame(group(IDS[:4], day(0)))
    log.open(version=2, contract_end=40 * DAY_S * 1000)
    log.frame(group(IDS[:1], day(95), kind="contract"))
    log.to_day(100)
    return setting("while_active + 30 d")


@pytest.mark.parametrize(
    ("history", "number"),
    [
        (by_creation, 5),
        (by_last_activity, 2),
        (by_deactivation, 2),
        (by_the_orgs_deactivation, 3),
        (by_a_named_event, 2),
        (by_a_records_contract_end, 2),
        (by_the_orgs_contract_end, 3),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_clock_is_previewed_as_it_then_erases(history: Callable[[LedgerLog], Setting], number: int) -> None:
    log = ready(category("messages", LONG))
    wanted = history(log)

    found = hold_against_what_is_erased(log, wanted)

    assert found == {"messages": {"crm": number}}


def test_records_are_counted_by_the_month_they_were_created_in() -> None:
    log = ready(category("messages", LONG, targets=("crm", "lake")))
    log.frame(group(IDS[:3], day(0)), group(IDS[3:5], day(30)), group(IDS[5:9], day(31)))
    log.to_day(400)

    body = answer(log, log.preview(setting("90 d"), day=150))

    assert body["as_of_day"] == 150
    assert body["categories"]["messages"] == {
        "records": 9,
        "following": 0,
        "months": {"1970-01": 5, "1970-02": 4},
        "targets": {"crm": 9, "lake": 9},
    }


def test_a_category_without_anything_due_is_told_as_zero() -> None:
    log = ready(category("messages", LONG))

    body = answer(log, log.preview())

    assert body["categories"] == {"messages": {"records": 0, "following": 0, "months": {}, "targets": {"crm": 0}}}


@pytest.mark.parametrize(("as_of", "number"), [(30, 0), (31, 3), (90, 3), (91, 5), (10**9, 6)])
def test_a_preview_is_as_of_its_day_past_or_far(as_of: int, number: int) -> None:
    log = ready(category("messages", LONG))
    log.frame(group(IDS[:3], day(0)), group(IDS[3:5], day(60)), group(IDS[5:6], day(69)))
    log.to_day(70)

    found = counts(log, setting("30 d"), day=as_of)

    assert found == ({"messages": {"crm": number}} if number else {})


def test_a_minimum_retain_outranks_the_period_in_a_preview() -> None:
    log = ready(category("messages", LONG, min_retain="60 d"))
    log.frame(group(IDS[:3], day(0)), group(IDS[3:5], day(50)))
    log.to_day(100)

    assert hold_against_what_is_erased(log, setting("30 d")) == {"messages": {"crm": 3}}


def test_a_record_told_twice_is_counted_once_wherever_its_rows_lie() -> None:
    log = ready(category("messages", LONG, clock="last_activity"), step_records=8)
    log.frame(group(IDS[:10], day(0)), min_segment=1)
    log.frame(group(IDS[:10], day(20), kind="touched"))
    log.to_day(40)
    log.policy(setting("35 d"), version=2)  # now those touched lie in another bucket
    log.policy(setting(LONG), version=3)
    log.frame(group(IDS[:20], day(0)), min_segment=1)
    log.frame(group(IDS[:5], day(0)), group(IDS[20:30], day(1)))
    log.frame(group(IDS[20:40], day(1)), min_segment=1)
    log.to_day(60)
    places = [keys.read_segment(key).day for key, _ in log.store.scan(keys.SEGMENT)]

    found = counts(log, setting("10 d"))

    assert sorted(set(places)) == [0, 1, 20]
    assert found == {"messages": {"crm": 40}}


def test_twins_in_segments_of_one_day_are_counted_once_over_many_steps() -> None:
    log = ready(category("messages", LONG), step_records=40)
    for n in range(5):
        log.frame(group(IDS[30 * n : 30 * n + 100], day(0)), min_segment=1)
    log.frame(group(IDS[:100], day(1)), min_segment=1)
    log.to_day(60)
    segments = len(list(log.store.scan(keys.SEGMENT)))

    found = counts(log, setting("10 d"))

    assert segments == 6
    assert found == {"messages": {"crm": 320}}


def test_the_same_id_created_on_two_days_is_two_records() -> None:
    log = ready(category("messages", LONG))
    log.frame(group(["a"], day(0)))
    log.frame(group(["a"], day(1)))
    log.to_day(60)

    assert counts(log, setting("10 d")) == {"messages": {"crm": 2}}


def test_deletes_and_moves_are_previewed_as_they_are_erased() -> None:
    log = ready(category("messages", LONG, targets=("crm", "lake")))
    log.frame(group(IDS[:10], day(0)), group(IDS[10:20], day(0), target="crm"))
    log.frame(group(IDS[:2], day(5), kind="deleted"), group(IDS[2:4], day(5), kind="deleted", target="crm"))
    log.frame(group(IDS[10:13], day(5), kind="moved", targets=["lake"] * 3))
    log.to_day(60)

    found = hold_against_what_is_erased(log, setting("30 d"))

    assert found == {"messages": {"crm": 6 + 7, "lake": 8 + 3}}


def test_what_is_sent_already_or_gone_is_not_counted() -> None:
    log = ready(category("messages", "30 d"), batch_records=10, pending_batches=1)
    log.frame(group(IDS[:25], day(0)))
    sent = log.batches(log.to_day(31))
    log.frame(group(IDS[30:32], day(20)))

    found = counts(log)
    later = erased(log, *[send for batch in sent for send in log.ack(batch)])

    assert sum(len(batch.ids) for batch in sent) == 10
    assert found == later == {"messages": {"crm": 15}}


def test_rows_in_packs_are_counted() -> None:
    log = ready(category("messages", LONG))
    log.to_day(60)
    log.frame(group(IDS[:5], day(0)), group(IDS[5:9], day(55)))
    waiting = list(log.store.scan(keys.PACK))

    found = hold_against_what_is_erased(log, setting("30 d"))

    assert waiting
    assert found == {"messages": {"crm": 5}}


def test_packs_that_can_hold_nothing_due_are_left_as_they_are() -> None:
    log = ready(category("messages", LONG))
    log.frame(group(IDS[:5], day(0)), min_segment=1)
    log.to_day(60)
    log.frame(group(IDS[5:9], day(55)))

    found = counts(log, setting("30 d"))

    assert list(log.store.scan(keys.PACK))
    assert found == {"messages": {"crm": 5}}


def test_withheld_rows_count_from_the_day_on_which_they_are_looked_at_again() -> None:
    log = ready(category("messages", "30 d"))
    log.frame(group(IDS[:5], day(0)))
    log.frame(group(IDS[:1], day(0)))
    (batch,) = log.batches(log.to_day(31))
    log.ack(batch, withheld=[0, 1])

    today, tomorrow = counts(log), counts(log, day=32)
    later = erased(log, *log.to_day(32))

    assert today == {}
    assert tomorrow == later == {"messages": {"crm": 2}}


def test_rows_of_a_target_that_the_rules_have_not_are_not_counted() -> None:
    log = ready(category("messages", LONG))
    log.frame(group(IDS[:5], day(0), target="old"), group(IDS[5:9], day(0)))
    log.to_day(60)

    assert hold_against_what_is_erased(log, setting("30 d")) == {"messages": {"crm": 4}}


def with_children() -> LedgerLog:
    log = ready(
        category("messages", LONG),
        category("transcripts", LONG, targets=("lake",), min_retain="40 d"),
        category("summaries", LONG, targets=("lake",)),
    )
    log.frame(group(IDS[:6], day(0)))
    log.frame(group(["t0", "t1"], day(1), category="transcripts", parents=IDS[:2]))
    log.frame(group(["t2"], day(55), category="transcripts", parents=IDS[2:3]))
    log.frame(group(["t3"], day(1), category="transcripts", parents=IDS[3:4]))
    log.frame(group(["t3"], day(2), kind="deleted", category="transcripts"))
    log.frame(group(["s0", "s2"], day(2), category="summaries", parents=["t0", "t2"]))
    log.to_day(60)
    return log


def test_derived_records_that_follow_are_counted_unless_their_minimum_retain_keeps_them() -> None:
    log = with_children()

    body = answer(log, log.preview(setting("30 d")))
    found = hold_against_what_is_erased(log, setting("30 d"))

    assert found == {"messages": {"crm": 6}, "transcripts": {"lake": 2}, "summaries": {"lake": 1}}
    assert [body["categories"][name]["following"] for name in ("messages", "transcripts", "summaries")] == [0, 2, 1]


def test_a_derived_record_that_is_due_by_itself_is_counted_once() -> None:
    log = with_children()
    both = setting("30 d"), setting("50 d", name="transcripts")

    body = answer(log, log.preview(*both))
    found = hold_against_what_is_erased(log, *both)

    assert found == {"messages": {"crm": 6}, "transcripts": {"lake": 2}, "summaries": {"lake": 1}}
    assert body["categories"]["transcripts"]["following"] == 0


def test_derived_records_that_wait_for_their_minimum_retain_count_from_the_day_on_which_it_has_passed() -> None:
    log = with_children()
    erased(log, *log.policy(setting("30 d"), version=2))

    before, after = counts(log, setting("30 d"), day=95), counts(log, setting("30 d"), day=96)

    assert before == {}
    assert after == {"transcripts": {"lake": 1}, "summaries": {"lake": 1}}
    assert erased(log, *log.to_day(96)) == after


@pytest.mark.parametrize(("min_retain", "retained"), [("70 d", False), ("100 d", True)])
def test_derived_records_that_wait_for_their_minimum_retain_are_counted_under_the_settings_asked_about(
    min_retain: str, retained: bool
) -> None:
    log = ready(category("messages", LONG), category("notes", LONG))
    log.frame(group(IDS[:6], day(0)), group(IDS[10:12], day(0), category="notes", parents=[IDS[0], IDS[1]]))
    log.to_day(80)
    kept = setting("30 d"), setting(LONG, name="notes", min_retain="90 d")
    erased(log, *log.policy(*kept, version=2))
    asked = setting("30 d"), setting(LONG, name="notes", min_retain=min_retain)

    before, found = counts(log, *kept), counts(log, *asked)

    assert before == {}
    assert found == ({} if retained else {"notes": {"crm": 2}})
    assert erased(log, *log.policy(*asked, version=3)) == found


def test_derived_records_that_wait_for_room_are_counted() -> None:
    log = ready(
        category("messages", "30 d"),
        category("transcripts", LONG, targets=("lake",)),
        batch_records=2,
        pending_batches=1,
    )
    log.frame(group(IDS[:2], day(0)))
    log.frame(group(IDS[10:17], day(0), category="transcripts", parents=["r000"] * 7))
    first = log.batches(log.to_day(31))

    found = counts(log)
    later = erased(log, *[send for batch in first for send in log.ack(batch)])

    assert found == later == {"transcripts": {"lake": 5}}


def test_a_preview_changes_no_row_but_the_clocks() -> None:
    log = by_everything()
    before = {key: value for key, value in log.store.scan(b"") if key != keys.CLOCK}

    log.preview(setting("30 d", "last_activity"))

    assert {key: value for key, value in log.store.scan(b"") if key != keys.CLOCK} == before


def by_everything(**values: int) -> LedgerLog:
    log = ready(category("messages", LONG), **values)
    for number in range(20):
        log.frame(group([f"d{number}-{n}" for n in range(70)], day(number)))
    log.frame(group([f"d3-{n}" for n in range(10)], day(90), kind="touched"))
    log.to_day(100)
    return log


def test_the_same_preview_again_is_answered_again_with_the_same_counts() -> None:
    log = by_everything(step_records=100)

    first, second = (answer(log, log.preview(setting("85 d"))) for _ in range(2))

    assert first["categories"] == second["categories"]
    assert first["categories"]["messages"]["records"] == 15 * 70


def test_no_step_of_a_preview_reads_many_more_records_than_the_rules_say() -> None:
    log = by_everything(step_records=100)
    steps = log.steps

    log.preview(setting("85 d"))

    assert log.steps - steps >= 15 * 70 // (100 + 70)


def test_several_previews_go_on_by_turns() -> None:
    log = by_everything(step_records=100)
    log.open("other")
    log.frame(group(["x"], day(0), org="other"))
    log.preview(setting("85 d"), run=False)
    log.preview(setting("85 d"), org="other", request_id="p2", run=False)

    answers = log.answers(log.run())

    assert [a["request_id"] for a in answers if a["kind"] == "preview"] == ["p2", "p1"]


def test_a_sweep_goes_on_beside_a_long_preview() -> None:
    log = by_everything(step_records=100)
    log.open("other", settings=[setting("30 d")], policy=1)
    log.preview(setting("85 d"), run=False)
    log.frame(group([f"o{n}" for n in range(200)], day(0), org="other"), run=False)

    sends = log.run()

    first_batch = next(n for n, send in enumerate(sends) if log.batches([send]))
    told = next(n for n, send in enumerate(sends) if [a for a in log.answers([send]) if a["kind"] == "preview"])
    assert first_batch < told


def under_way(**values: int) -> LedgerLog:
    """Return a partition in which a preview has begun and not ended."""
    log = by_everything(step_records=100, **values)
    log.preview(setting("85 d"), run=False)
    for _ in range(3):
        log.step()
    assert log.own
    return log


def test_what_arrives_meanwhile_and_is_not_due_changes_no_count() -> None:
    log = under_way()
    log.frame(group(["new"], day(99)), run=False)
    log.frame(group(["d0-1"], day(99), kind="touched"), run=False)

    body = answer(log, log.run())

    assert body["exact"]
    assert body["categories"]["messages"]["records"] == 15 * 70


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda log: log.frame(group(["new"], day(0)), run=False), 15 * 70 + 1),
        (lambda log: log.frame(group(["d0-1"], day(99), kind="deleted"), run=False), 15 * 70 - 1),
        (lambda log: log.rules(rules(category("messages", LONG, min_retain="90 d"), version=2), run=False), 10 * 70),
    ],
    ids=["a record", "a delete", "rules"],
)
def test_a_preview_begins_again_when_the_org_changes(change: Callable[[LedgerLog], object], number: int) -> None:
    log = under_way()
    change(log)

    body = answer(log, log.run())

    assert body["exact"]
    assert body["categories"]["messages"]["records"] == number


def test_a_preview_of_an_org_that_never_stands_still_ends_and_says_that_it_is_not_exact() -> None:
    log = under_way()
    sends: list[Send] = []
    while log.own:
        log.frame(group([f"late{len(sends)}"], day(0)), run=False)
        sends += log.step()

    body = answer(log, sends)

    assert not body["exact"]


def test_rows_that_the_sweep_takes_meanwhile_are_no_longer_counted() -> None:
    log = under_way()
    log.policy(setting("90 d"), version=2, run=False)

    sends = log.run()

    told = next(n for n, send in enumerate(sends) if [a for a in log.answers([send]) if a["kind"] == "preview"])
    before = sum(len(batch.ids) for batch in log.batches(sends[:told]))
    body = answer(log, sends)
    assert body["exact"]
    assert before == 10 * 70
    assert body["categories"]["messages"]["records"] == 5 * 70


def test_two_shards_add_up() -> None:
    found = []
    for partition in range(2):
        log = LedgerLog(partition=partition, partitions=2)
        log.rules(rules(category("messages", LONG)))
        log.to_day(0)
        log.open(shards=[2])
        log.frame(group([f"p{partition}-{n}" for n in range(3 + partition)], day(0)))
        log.to_day(60)
        sends = log.preview(setting("30 d"))
        found.append(answer(log, sends)["categories"]["messages"]["records"])
        assert [a["partition"] for a in log.answers(sends)] == [partition]

    assert found == [3, 4]


def test_a_preview_that_cannot_be_is_answered_with_an_error() -> None:
    log = ready()
    log.open(epoch=2)

    def error(sends: list[Send]) -> str:
        (found,) = log.answers(sends)
        assert (found["kind"], found["request_id"]) == ("preview", "p1")
        return str(found["error"])

    behind = error(log.preview(epoch=1))
    closed = error(log.preview(org="nobody"))
    bad = error(log.append("Preview", bad_preview()))

    assert "epoch behind" in behind
    assert "not open" in closed
    assert "messages" in bad


def bad_preview() -> dict[str, Any]:
    bad = {"category": "messages", "period": "soon", "clock": "", "min_retain": "", "action": ""}
    return {"org": "acme", "epoch": 2, "request_id": "p1", "settings": [bad], "as_of_day": -1}


def test_a_preview_as_of_the_ledgers_day_needs_one() -> None:
    log = LedgerLog()
    log.rules(rules(category("messages")))
    log.open()

    (found,) = log.answers(log.preview())

    assert "day is not known" in found["error"]
    assert answer(log, log.preview(day=100))["as_of_day"] == 100


@pytest.mark.parametrize(
    ("hold", "counted"),
    [
        ({"subjects": [3]}, {"crm": 8}),
        ({"records": IDS[:2]}, {"crm": 10}),
        ({"categories": ["messages"]}, {}),
        ({"categories": ["elsewhere"]}, {"crm": 12}),
    ],
)
def test_what_is_held_is_not_counted_until_the_hold_ends(hold: dict[str, Any], counted: dict[str, int]) -> None:
    log = ready(category("messages", period=LONG))
    log.frame(group(IDS[:12], day(0), subjects=[1, 2, 3] * 4))
    log.to_day(100)
    log.hold(**hold)

    assert counts(log, setting("30 d")).get("messages", {}) == counted
    assert hold_against_what_is_erased(log, setting("30 d")).get("messages", {}) == counted
    log.release()
    log.to_day(101)
    assert counts(log, setting("30 d")).get("messages", {}) == {}


def test_what_a_request_has_taken_is_not_counted() -> None:
    log = ready(category("messages", period=LONG, min_retain="200 d"))
    log.frame(group(IDS[:6], day(0), subjects=[1, 2] * 3))
    log.to_day(100)

    log.erase("request", 1)

    assert counts(log, setting("30 d"), day=300).get("messages", {}) == {"crm": 3}
