"""The sweep's promises: what is due becomes batches, never early, each of a target's own size."""

from __future__ import annotations

from uuid import UUID

from tests.support.ledger_log import category, day, group, ready

UUIDS = [str(UUID(int=n * 7919)) for n in range(300)]


def test_a_record_is_erased_on_the_first_day_its_period_has_wholly_passed() -> None:
    log = ready(category("messages", "90 d"))
    log.frame(group(["a"], day(0.5)))

    before = log.to_day(90)
    after = log.to_day(91)

    assert log.erased(before) == []
    assert log.erased(after) == ["a"]


def test_a_whole_segment_becomes_batches_of_the_size_the_rules_say() -> None:
    log = ready(category("messages", "90 d"), batch_records=100)
    log.frame(group(UUIDS[:250], day(1)))

    sends = log.to_day(92)

    assert [len(batch.ids) for batch in log.batches(sends)] == [100, 100, 50]
    assert log.erased(sends) == sorted(UUIDS[:250])


def test_nothing_of_a_swept_segment_stays_but_pending_batches() -> None:
    log = ready(category("messages", "90 d"))
    log.frame(group(UUIDS[:100], day(1)))

    sends = log.to_day(92)
    for batch in log.batches(sends):
        log.ack(batch)

    assert {key[:1] for key in log.store.rows()} <= {b"R", b"T", b"W", b"S", b"F", b"o", b"g"}
