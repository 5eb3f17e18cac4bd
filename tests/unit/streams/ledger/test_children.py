"""What is promised of derived records: they go with their source, never before their own minimum retain."""

from __future__ import annotations

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
