"""Several segments at once: batches fill from small ones, dead rows stay dead, and a record named twice is one."""

from __future__ import annotations

from schemas.columns import Columns
from streams.ledger import keys
from streams.ledger.rows import Segment
from streams.ledger.segments import columns_of
from tests.support.ledger_log import category, day, group, ready

IDS = [f"r{n:03}" for n in range(300)]


def test_small_segments_of_many_days_fill_batches() -> None:
    log = ready(category("messages", "90 d"), batch_records=100)
    for n in range(10):
        log.frame(group(IDS[25 * n : 25 * n + 25], day(n)), min_segment=1)

    sends = log.to_day(120)

    assert [len(batch.ids) for batch in log.batches(sends)] == [100, 100, 50]
    assert log.erased(sends) == IDS[:250]


def test_a_target_with_room_for_part_of_them_gets_the_oldest_and_the_rest_later() -> None:
    log = ready(category("messages", "90 d"), batch_records=10, pending_batches=2)
    for n in range(6):
        log.frame(group(IDS[8 * n : 8 * n + 8], day(n)), min_segment=1)

    first = log.batches(log.to_day(120))
    waiting = list(first)
    while waiting:
        waiting += log.batches(log.ack(waiting.pop(0)))

    assert {i for batch in first for i in batch.ids} <= set(IDS[:20])
    assert log.erased() == IDS[:48]


def test_a_row_that_is_gone_from_one_of_them_is_not_erased_again() -> None:
    log = ready(category("messages", "30 d", clock="deactivation"))
    for n in range(4):
        log.frame(group(IDS[30 * n : 30 * n + 30], day(n)), min_segment=1)
    log.frame(group(IDS[33:35], day(4), kind="deactivated"))
    first = log.to_day(36)
    log.frame(group([""], day(40), kind="deactivated"))

    second = log.to_day(80)

    assert log.erased(first) == IDS[33:35]
    assert log.erased(second) == IDS[:33] + IDS[35:120]


def test_a_record_that_two_packs_name_is_one_row_and_its_neighbours_are_untouched() -> None:
    log = ready(category("messages", "90 d"))
    log.frame(group(IDS[:20], day(1)), group(IDS[100:120], day(2)))
    log.frame(group(IDS[19:40], day(1)), group(IDS[120:140], day(2)))
    log.to_day(4)

    stored = [columns_of(Segment.unpack(value)) for _, value in log.store.scan(keys.SEGMENT)]

    assert sorted(Columns.concat(stored).ids.texts()) == [*IDS[:40], *IDS[100:140]]
    assert len(stored) == 2
