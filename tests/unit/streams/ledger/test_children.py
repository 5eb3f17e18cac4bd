"""What is promised of derived records: they go with their source, never before their own minimum retain."""

from __future__ import annotations

from schemas.policy import Setting
from streams.ledger.marks import Marks
from streams.reducer import Send
from tests.support.ledger_log import LedgerLog, category, day, group, ready


def with_transcripts(min_retain: str = "", **values: int) -> LedgerLog:
    return ready(
        category("messages", "30 d"),
        category("transcripts", "300 d", targets=("lake",), min_retain=min_retain),
        category("summaries", "300 d", targets=("lake",)),
        **values,
    )


def test_a_derived_record_goes_with_its_source() -> None:
    log = with_transcripts()
    log.frame(group(["m1", "m2"], [day(0), day(0) + 5]))
    log.frame(group(["t1"], day(1), category="transcripts", parents=["m1"]))
    log.frame(group(["t2"], day(1), category="transcripts", parents=["elsewhere"]))

    sends = log.to_day(31)

    assert log.erased(sends, "crm") == ["m1", "m2"]
    assert log.erased(sends, "lake") == ["t1"]


def test_a_derived_record_is_erased_once_and_not_again_by_its_own_clock() -> None:
    log = with_transcripts()
    log.frame(group(["m1"], day(0)), group(["t1"], day(1), category="transcripts", parents=["m1"]))
    for batch in log.batches(log.to_day(31)):
        log.ack(batch)

    sends = log.to_day(302)

    assert log.batches(sends) == []


def test_a_derived_record_of_a_derived_record_follows_too() -> None:
    log = with_transcripts()
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1"], day(1), category="transcripts", parents=["m1"]))
    log.frame(group(["s1"], day(2), category="summaries", parents=["t1"]))

    sends = log.to_day(31)

    assert log.erased(sends, "lake") == ["s1", "t1"]


def test_a_derived_record_does_not_follow_before_its_minimum_retain_has_passed() -> None:
    log = with_transcripts(min_retain="60 d")
    log.frame(group(["m1"], day(0)), group(["t1"], day(1), category="transcripts", parents=["m1"]))

    early = log.to_day(31) + log.to_day(61)
    due = log.to_day(62)

    assert log.erased(early, "lake") == []
    assert log.erased(due, "lake") == ["t1"]


def test_a_withheld_derived_record_comes_back() -> None:
    log = with_transcripts()
    log.frame(group(["m1"], day(0)), group(["t1"], day(1), category="transcripts", parents=["m1"]))
    batch = next(b for b in log.batches(log.to_day(31)) if b.target == "lake")
    log.ack(batch, withheld=[0])

    again = log.to_day(32)

    assert log.erased(again, "lake") == ["t1"]


def test_a_derived_record_without_a_known_source_goes_by_its_own_clock() -> None:
    log = with_transcripts()
    log.frame(group(["t1"], day(0), category="transcripts", parents=["m1"]))

    sends = log.to_day(301)

    assert log.erased(sends, "lake") == ["t1"]


def test_large_groups_of_derived_records_follow_as_small_ones_do() -> None:
    log = with_transcripts(batch_records=10)
    log.frame(group([f"m{n}" for n in range(40)], day(0)), min_segment=1)
    log.frame(
        group([f"t{n}" for n in range(40)], day(0), category="transcripts", parents=[f"m{n}" for n in range(40)]),
        min_segment=1,
    )

    sends = log.to_day(31)

    assert log.erased(sends, "lake") == sorted(f"t{n}" for n in range(40))


def test_derived_records_that_find_no_room_follow_the_same_day() -> None:
    log = with_transcripts(batch_records=10, pending_batches=2)
    log.frame(group([f"m{n:02}" for n in range(70)], day(0)))
    log.frame(
        group([f"t{n:02}" for n in range(70)], day(0), category="transcripts", parents=[f"m{n:02}" for n in range(70)])
    )
    log.to_day(31)
    done: set[str] = set()

    while waiting := [batch for batch in log.batches() if batch.id not in done]:
        done |= {batch.id for batch in waiting}
        for batch in waiting:
            log.ack(batch)

    assert log.erased(target="lake") == [f"t{n:02}" for n in range(70)]
    assert log.progress(log.sends, "lake")[-1]["oldest_due_day"] == -1


def test_derived_records_that_wait_for_room_are_told_as_due() -> None:
    log = with_transcripts(batch_records=10, pending_batches=1)
    log.frame(group(["m1", "m2"], day(0)), group(["t0"], day(0), category="transcripts", target="lake"))
    log.frame(group([f"t{n:02}" for n in range(10, 40)], day(0), category="transcripts", parents=["m1"] * 30))

    sends = log.to_day(31)

    assert len(log.erased(sends, "lake")) == 10
    assert log.progress(sends, "lake")[-1]["oldest_due_day"] == 31


def test_a_record_created_again_after_its_delete_does_not_follow_its_first_source() -> None:
    log = with_transcripts()
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1"], day(1), category="transcripts", parents=["m1"]))
    log.frame(group(["t1"], day(5), kind="deleted", category="transcripts"))
    log.frame(group(["t1"], day(10), category="transcripts"))

    sends = log.to_day(31)
    own = log.to_day(311)

    assert log.erased(sends, "lake") == []
    assert log.erased(own, "lake") == ["t1"]


def test_a_derived_record_told_twice_follows_once() -> None:
    log = with_transcripts()
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1"], day(1), category="transcripts", parents=["m1"]))
    log.frame(group(["t1"], day(1), category="transcripts", parents=["m1"]))

    sends = log.to_day(31)

    assert log.erased(sends, "lake") == ["t1"]


def test_a_derived_record_deleted_while_it_waits_for_its_minimum_retain_is_not_erased() -> None:
    log = with_transcripts(min_retain="60 d")
    log.frame(group(["m1"], day(0)), group(["t1", "t2"], day(1), category="transcripts", parents=["m1", "m1"]))
    log.to_day(31)
    log.frame(group(["t1"], day(40), kind="deleted", category="transcripts"))

    sends = log.to_day(62)

    assert log.erased(sends, "lake") == ["t2"]


def test_a_record_queued_before_the_place_where_the_queue_is_read_goes_the_same_day() -> None:
    log = with_transcripts(min_retain="60 d")
    log.frame(group(["z1"], day(1), category="transcripts", parents=["m1"]))
    log.frame(group(["z2"], day(2), category="transcripts", parents=["m1"]))
    log.frame(group(["a1"], day(1), category="summaries", parents=["z1"]))
    log.frame(group(["m1"], day(0)))
    log.to_day(31)

    first = log.to_day(62)
    second = log.to_day(63)

    assert log.erased(first, "lake") == ["a1", "z1"]
    assert log.erased(second, "lake") == ["z2"]


def test_a_derived_record_that_goes_in_the_batch_of_its_source_goes_once() -> None:
    log = with_transcripts()
    log.frame(group(["m1", "m2"], day(0), parents=["", "m1"]))

    sends = log.to_day(31)

    assert log.erased(sends) == ["m1", "m2"]


def test_a_touched_derived_record_that_followed_is_not_erased_again_by_its_own_clock() -> None:
    log = ready(
        category("messages", "150 d"), category("transcripts", "100 d", clock="last_activity", targets=("lake",))
    )
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1"], day(0), category="transcripts", parents=["m1"]))
    log.frame(group(["t1"], day(99), kind="touched", category="transcripts"))
    log.to_day(120)
    log.frame(group(["t2"], day(54), category="transcripts"))

    sends = log.to_day(151)
    for batch in log.batches(sends):
        log.ack(batch)
    later = log.to_day(156) + log.to_day(200)

    assert log.erased(sends, "lake") == ["t1"]
    assert log.erased(later, "lake") == ["t2"]


def test_children_of_two_sources_that_one_step_erases_are_forgotten_by_a_long_lived_ledger_too() -> None:
    states = []
    for fresh in (True, False):
        log = ready(category("messages", "30 d"), category("transcripts", "300 d", targets=("lake",)), fresh=fresh)
        log.frame(group(["m1"], day(0)), group(["m2"], day(1)), min_segment=1)
        log.frame(group(["t1", "t2", "t3"], day(2), category="transcripts", parents=["m1", "m2", "elsewhere"]))
        log.to_day(32)
        log.frame(group(["m2"], day(3)), min_segment=1)
        sends = log.to_day(35)
        states.append((log.store.rows(), sends))  # type: ignore[attr-defined]

    assert states[0] == states[1]


def test_a_derived_record_that_went_by_its_own_clock_does_not_go_again_with_its_source() -> None:
    log = ready(category("messages", "90 d"), category("transcripts", "30 d", targets=("lake",)))
    log.frame(group(["m1"], day(0)), group(["t1"], day(1), category="transcripts", parents=["m1"]))

    own = settled(log, 32)
    later = settled(log, 91)

    assert log.erased(own, "lake") == ["t1"]
    assert log.erased(later, "lake") == []


def test_a_derived_record_that_its_producer_deleted_never_follows_however_long_its_source_stays() -> None:
    log = ready(category("messages", "150 d"), category("transcripts", "30 d", targets=("crm", "lake")))
    log.frame(group(["m1"], day(0)), group(["t1", "t2"], day(1), category="transcripts", parents=["m1", "m1"]))
    log.frame(group(["t1"], day(2), kind="deleted", category="transcripts", target="lake"))
    log.frame(group(["t2"], day(2), kind="deleted", category="transcripts"))
    for number in range(30, 150, 10):
        settled(log, number)

    sends = settled(log, 151)

    assert log.erased(target="lake") == []
    assert log.erased(target="crm") == ["m1", "t1"]
    assert log.erased(sends) == ["m1"]


def test_a_deleted_derived_record_that_a_merge_left_out_never_follows() -> None:
    log = ready(category("messages", "150 d"), category("transcripts", "300 d", targets=("lake",)))
    log.frame(group(["m1"], day(0)))
    log.frame(group(["gone"], day(1), kind="deleted", category="transcripts"))
    for number in range(8):
        ids = [f"t{number}", *(["gone"] if number == 0 else [])]
        log.frame(group(ids, day(1), category="transcripts", parents=["m1"] * len(ids)), min_segment=1)
    kept = _children(log)

    sends = log.to_day(151)

    assert kept == [f"t{number}" for number in range(8)]
    assert log.erased(sends, "lake") == kept


def test_a_withheld_derived_record_that_its_policy_now_keeps_still_goes_with_its_source() -> None:
    log = ready(category("messages", "90 d"), category("transcripts", "30 d", targets=("crm", "lake")))
    log.frame(group(["m1"], day(0)), group(["t1"], day(1), category="transcripts", parents=["m1"]))
    for batch in log.batches(log.to_day(32)):
        log.ack(batch, withheld=[0] if batch.target == "lake" else [])
    log.policy(Setting(category="transcripts", period="300 d"), version=1)

    between = log.to_day(33)
    sends = settled(log, 91)
    own = settled(log, 400)

    assert log.batches(between) == []
    assert (log.erased(sends, "crm"), log.erased(sends, "lake")) == (["m1"], ["t1"])
    assert log.batches(own) == []


def test_what_is_known_of_derived_records_goes_when_the_last_of_them_goes() -> None:
    log = ready(category("messages", "30 d"), category("transcripts", "60 d", targets=("lake",)))
    log.frame(group(["m1"], day(0)), group(["m1"], day(1), kind="deleted"))
    log.frame(group(["t1", "t2"], day(0), category="transcripts", parents=["m1", "elsewhere"]))
    log.to_day(31)
    before = _children(log)

    log.to_day(61)

    assert before == ["t1", "t2"]
    assert _children(log) == []


def test_of_two_records_of_one_id_the_one_that_stays_follows() -> None:
    log = ready(category("messages", "90 d"), category("transcripts", "30 d", targets=("lake",)))
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1"], day(1), category="transcripts", parents=["m1"]))
    log.frame(group(["t1"], day(80), category="transcripts", parents=["m1"]))

    own = settled(log, 32)
    sends = settled(log, 91)

    assert log.erased(own, "lake") == ["t1"]
    assert log.erased(sends, "lake") == ["t1"]


def test_a_moved_derived_record_follows_from_where_it_is_now() -> None:
    log = ready(category("messages", "30 d"), category("transcripts", "300 d", targets=("crm", "lake")))
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1", "t2"], day(1), category="transcripts", target="lake", parents=["m1", "m1"]))
    log.frame(group(["t1"], day(2), kind="moved", category="transcripts", targets=["crm"]))

    sends = settled(log, 31)
    own = settled(log, 302)

    assert log.erased(sends, "crm") == ["m1", "t1"]
    assert log.erased(sends, "lake") == ["t2"]
    assert log.batches(own) == []


def test_a_derived_record_that_moved_and_was_deleted_there_does_not_follow() -> None:
    log = ready(category("messages", "30 d"), category("transcripts", "300 d", targets=("crm", "lake")))
    log.frame(group(["m1"], day(0)))
    log.frame(group(["t1"], day(1), category="transcripts", target="lake", parents=["m1"]))
    log.frame(group(["t1"], day(2), kind="moved", category="transcripts", targets=["crm"]))
    log.frame(group(["t1"], day(3), kind="deleted", category="transcripts", target="crm"))

    sends = settled(log, 31)

    assert (log.erased(sends, "crm"), log.erased(sends, "lake")) == (["m1"], [])


def settled(log: LedgerLog, number: float) -> list[Send]:
    """Let a day come, and every target do what it is told."""
    sends = log.to_day(number)
    for batch in log.batches(sends):
        log.ack(batch)
    return sends


def _children(log: LedgerLog) -> list[str]:
    """Return the ids of derived records that are kept under their sources."""
    found: list[str] = []
    for _, value in log.store.scan(b"l"):
        parents = Marks(value).columns.parents
        assert parents is not None
        found += parents.texts()
    return sorted(found)
