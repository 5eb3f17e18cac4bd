"""What is promised of frames: nothing twice, nothing lost, small groups for the price of large ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from schemas.columns import Columns, Subjects
from schemas.errors import Halt
from streams.ledger import packs
from streams.ledger.sweep import SWEPT
from tests.support.ledger_log import SOURCE, LedgerLog, category, day, group, ready, rules

IDS = [f"r{n:04}" for n in range(1000)]


def kinds(log: LedgerLog) -> Counter[bytes]:
    """Count the state's rows by kind."""
    return Counter(key[:1] for key in log.store.rows())


def test_a_replayed_frame_is_dropped() -> None:
    log = ready()
    log.frame(group(["a"], day(0)), replay=(0, 5))
    sends = log.to_day(91)
    log.ack(log.batches(sends)[0])

    again = log.frame(group(["a"], day(0)), replay=(0, 5))

    assert log.batches(again + log.to_day(92)) == []


def test_a_frame_that_goes_on_where_the_last_ended_is_kept_though_its_range_overlaps() -> None:
    log = ready()
    log.frame(group(["a"], day(0)), replay=(0, 5))
    log.frame(group(["b"], day(0)), replay=(3, 8))

    sends = log.to_day(91)

    assert log.erased(sends) == ["a", "b"]


def test_all_groups_of_a_frame_are_judged_by_what_was_known_before_it() -> None:
    log = ready()
    log.frame(group(["a"], day(0)), group(["b"], day(1)), group(["c"], day(2)), min_segment=1)

    sends = log.to_day(100)

    assert log.erased(sends) == ["a", "b", "c"]


@pytest.mark.parametrize("min_segment", [1, 64], ids=["large groups", "packs"])
def test_a_record_that_is_due_when_it_arrives_is_erased_at_once(min_segment: int) -> None:
    log = ready()
    log.to_day(200)

    sends = log.frame(group(["a"], day(0)), group(["fresh"], day(200)), min_segment=min_segment)

    assert log.erased(sends) == ["a"]


def test_the_same_record_in_one_segment_is_erased_once() -> None:
    log = ready()
    log.frame(group(["a", "b", "a"], [day(1), day(1), day(1) + 50]), min_segment=1)

    sends = log.to_day(92)

    assert log.erased(sends) == ["a", "b"]


def test_the_same_record_created_on_two_days_is_due_by_the_earlier() -> None:
    log = ready()
    log.frame(group(["a"], day(5)))
    log.frame(group(["a"], day(0)))

    early = log.to_day(91)
    late = log.to_day(96)

    assert log.erased(early) == ["a"]
    assert log.erased(late) == ["a"]


def test_small_groups_of_many_frames_become_one_segment_a_bucket() -> None:
    log = ready()
    for number in range(20):
        log.open(f"org{number}")
    for frame in range(16):
        log.frame(*[group([f"r{frame}-{number}"], day(0), org=f"org{number}") for number in range(20)])
    packed = kinds(log)

    log.to_day(1)
    sorted_out = kinds(log)

    assert (packed[b"f"], packed[b"s"]) == (16, 0)
    assert (sorted_out[b"f"], sorted_out[b"s"]) == (0, 20)


def test_packs_that_hold_enough_are_sorted_out_before_the_day_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "ENOUGH", 3 * 20)
    log = ready()
    for number in range(20):
        log.open(f"org{number}")

    waiting = []
    for frame in range(3):
        log.frame(*[group([f"r{frame}-{number}"], day(0), org=f"org{number}") for number in range(20)])
        waiting.append(kinds(log)[b"f"])

    assert waiting == [1, 2, 0]


def test_small_segments_of_one_bucket_are_merged() -> None:
    log = ready()
    for number in range(64):
        log.frame(group(IDS[number : number + 2], day(0)), min_segment=1)
    rows = kinds(log)[b"s"]

    sends = log.to_day(91)

    assert rows < 16
    assert sorted(set(log.erased(sends))) == IDS[:65]


def test_merging_leaves_out_what_a_producer_deleted() -> None:
    log = ready()
    log.frame(group(IDS[:4], day(3), kind="deleted"))
    for number in range(8):
        log.frame(group([IDS[number]], day(0)), min_segment=1)

    sends = log.to_day(91)

    assert log.erased(sends) == IDS[4:8]


@pytest.mark.parametrize(("targets", "each"), [(("crm",), SWEPT), (("crm", "mail"), 1), (("a", "b", "c", "d"), 1)])
def test_a_step_sweeps_as_many_records_as_the_rules_say_times_what_is_cheap(
    targets: tuple[str, ...], each: int
) -> None:
    log = ready(category("messages", targets=targets), step_records=50 // each, batch_records=10, pending_batches=1000)
    log.frame(group(IDS[:40], day(0)), group(IDS[40:80], day(1)), group(IDS[80:120], day(2)), min_segment=1)
    log.to_day(100, run=False)

    sizes = []
    while log.own:
        sizes.append(sum(len(batch.ids) for batch in log.batches(log.step())) // len(targets))

    assert max(sizes) == 40
    assert sum(sizes) == 120


def test_there_is_never_more_than_one_step_on_its_way() -> None:
    log = ready(step_records=10)
    for number in range(30):
        log.frame(group(IDS[number * 10 : number * 10 + 10], day(0)), min_segment=1, run=False)
        log.to_day(100 + number, run=False)

        assert len(log.own) <= 1


def test_no_org_waits_for_anothers_million() -> None:
    log = LedgerLog()
    log.rules(rules(category("messages"), step_records=20, batch_records=20, pending_batches=1000))
    for org in ("huge", "small"):
        log.open(org)
    for number in range(10):
        log.frame(group(IDS[number * 100 : number * 100 + 20], day(number), org="huge"), min_segment=1)
    log.frame(group(["s"], day(60), org="small"), min_segment=1)
    log.to_day(200, run=False)

    order: list[str] = []
    while log.own:
        order += [batch.org for batch in log.batches(log.step())]

    assert order.index("small") <= 2
    assert order.count("huge") == 10


def test_a_frame_that_cannot_be_read_stops_the_ledger() -> None:
    log = ready()
    record = {
        "sources": [{"topic": SOURCE, "partition": 0, "first": 0, "next": 1}],
        "records": 1,
        "body": b"\7nonsense",
    }

    with pytest.raises(Halt, match="cannot be read"):
        log.append("Frame", record)


def test_records_of_very_many_subjects_make_segments_that_a_changelog_record_holds() -> None:
    log = ready(step_records=20_000)
    rng = np.random.default_rng(7)
    for n in range(4):
        refs = rng.integers(0, 1 << 63, 1_000 * 200, dtype=np.uint64)
        header, columns = group([f"r{n}-{m:04}" for m in range(1_000)], day(0))
        subjects = Subjects.of(np.full(1_000, 200, np.int64), refs)
        many = Columns(ids=columns.ids, clocks=columns.clocks, subjects=subjects)
        log.frame((header, many), min_segment=5_000)

    log.to_day(1)
    sizes = [len(value) for _, value in log.store.scan(b"s")]

    assert sum(sizes) > 6_000_000
    assert max(sizes) < 4_400_000
    assert len(log.erased(log.to_day(91))) == 4_000
