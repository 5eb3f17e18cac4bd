"""What is promised of dead rows: their bytes go within days, and only segments that have any are looked at."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.columns import Columns
from streams.ledger import keys
from streams.ledger.rewrite import DEAD_DAYS
from streams.ledger.rows import Segment
from streams.ledger.segments import columns_of
from tests.support.ledger_log import LedgerLog, category, day, group, ready, rules
from tests.support.memory_store import MemoryStore

IDS = [f"r{n:03}" for n in range(400)]


def by_event(**values: int) -> LedgerLog:
    """Return a ledger whose records go 30 days after they were deactivated: passes take out single rows."""
    return ready(category("messages", "30 d", clock="deactivation"), **values)


def held_ids(log: LedgerLog, kind: bytes = keys.SEGMENT) -> list[str]:
    """Return every id whose bytes are in a segment, dead or not."""
    parts = [columns_of(Segment.unpack(value)) for _, value in log.store.scan(kind)]
    return sorted(Columns.concat(parts).ids.texts()) if parts else []


def dead_keys(log: LedgerLog) -> tuple[int, int]:
    return len(list(log.store.scan(keys.DEAD))), len(list(log.store.scan(keys.DEAD_SINCE)))


def test_the_bytes_of_a_few_dead_rows_go_when_their_days_are_over_and_not_before() -> None:
    log = by_event()
    log.frame(group(IDS[:60], day(0)), min_segment=1)
    log.frame(group(IDS[:2], day(1), kind="deactivated"))
    sends = log.to_day(32)

    log.to_day(32 + DEAD_DAYS - 1)
    before, kept = held_ids(log), dead_keys(log)
    log.to_day(32 + DEAD_DAYS)

    assert log.erased(sends) == IDS[:2]
    assert (before, kept) == (IDS[:60], (1, 1))
    assert (held_ids(log), dead_keys(log)) == (IDS[2:60], (0, 0))


def test_the_first_dead_row_of_a_segment_says_when_not_the_last() -> None:
    log = by_event()
    log.frame(group(IDS[:60], day(0)), min_segment=1)
    log.frame(group(IDS[:1], day(1), kind="deactivated"))
    log.frame(group(IDS[1:2], day(7), kind="deactivated"))
    log.to_day(32)
    log.to_day(38)

    log.to_day(32 + DEAD_DAYS)

    assert (held_ids(log), dead_keys(log)) == (IDS[2:60], (0, 0))


def test_a_rewritten_segment_loses_no_row_and_erases_none_twice() -> None:
    log = by_event()
    log.frame(group(IDS[:60], day(0)), min_segment=1)
    log.frame(group(IDS[:2], day(1), kind="deactivated"))
    for batch in log.batches(log.to_day(32)):
        log.ack(batch)
    log.to_day(32 + DEAD_DAYS)

    log.frame(group(IDS[:60], day(40), kind="deactivated"))
    log.to_day(71)

    assert log.erased() == IDS[:60]


def test_a_segment_that_goes_as_a_whole_leaves_nothing_to_rewrite() -> None:
    log = by_event()
    log.frame(group(IDS[:60], day(0)), min_segment=1)
    log.frame(group(IDS[:2], day(1), kind="deactivated"))
    log.to_day(32)
    before = dead_keys(log)

    log.frame(group([""], day(2), kind="deactivated"))
    log.to_day(33)

    assert before == (1, 1)
    assert (held_ids(log), dead_keys(log)) == ([], (0, 0))


def test_a_segment_put_aside_for_an_unknown_target_takes_no_dead_rows_along() -> None:
    log = ready(category("messages", "30 d", clock="deactivation", targets=("crm", "old")))
    log.frame(group(IDS[:60], day(0), target="old"), min_segment=1)
    log.frame(group(IDS[:2], day(1), kind="deactivated"))
    log.to_day(32)
    log.rules(rules(category("messages", "30 d", clock="deactivation"), version=2))
    log.frame(group([""], day(2), kind="deactivated"))

    log.to_day(33)

    assert (held_ids(log), held_ids(log, keys.STRANDED)) == ([], IDS[2:60])
    assert dead_keys(log) == (0, 0)


def test_a_step_rewrites_no_more_than_one_segment_beyond_the_records_of_a_step() -> None:
    log = by_event(step_records=100)
    for number in range(6):
        ids = IDS[60 * number : 60 * number + 60]
        log.frame(group(ids, day(number)), min_segment=1)
        log.frame(group(ids[:1], day(10), kind="deactivated"))
    log.to_day(41)
    log.to_day(41 + DEAD_DAYS, run=False)
    rewritten = []

    while log.own:
        before = dead_keys(log)[0]
        log.step()
        rewritten.append(before - dead_keys(log)[0])

    assert [count for count in rewritten if count] == [2, 2, 2]


class Counting(MemoryStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return super().get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for row in super().scan(prefix, start):
            self.reads += 1
            yield row


def test_what_it_costs_follows_what_is_dead_and_not_what_is_kept() -> None:
    reads = []
    for kept in (1, 100):
        store = Counting()
        log = LedgerLog(store)
        log.rules(rules(category("messages", "30 d", clock="deactivation"), category("logs", "9000 d")))
        log.to_day(0)
        log.open()
        for number in range(kept):
            log.frame(group(IDS[:70], day(0.001 * number), category="logs"), min_segment=1)
        log.frame(group(IDS[:60], day(0)), min_segment=1)
        log.frame(group(IDS[:2], day(1), kind="deactivated"))
        log.to_day(32)
        store.reads = 0
        log.to_day(32 + DEAD_DAYS)
        reads.append(store.reads)
        assert dead_keys(log) == (0, 0)

    assert reads[0] == reads[1]
