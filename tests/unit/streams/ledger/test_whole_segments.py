"""Segments that go as they are: what is sent and what is stored is what cutting their rows would have made."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from schemas.bodies import decode_columns
from streams.ledger import keys, rows, whole_segments
from tests.support.ledger_log import LedgerLog, category, day, group, ready
from tests.support.memory_store import MemoryStore
from tests.unit.schemas.test_columns import same

UUIDS = [str(uuid.UUID(int=n << 90 | n)) for n in range(1, 40)]
TEXTS = [f"r{n:02}" for n in range(40)]
CATEGORIES = (category("messages", "30 d", targets=("crm", "mail")), category("orders", "30 d", clock="last_activity"))


def plain(log: LedgerLog) -> None:
    for n in range(6):
        log.frame(group(UUIDS[5 * n : 5 * n + 5], day(2), org=f"org-{n % 3}", subjects=[7, [7, 8], 9, 9, 10]))
        log.frame(group(TEXTS[5 * n : 5 * n + 5], day(3), org=f"org-{n % 3}", category="orders"))


def of_several_days(log: LedgerLog) -> None:
    """More than are read one by one, and a part of a pair that is not due."""
    for n in range(3):
        log.frame(group(UUIDS[12 * n : 12 * n + 12], day(2 + n), org="org-0", subjects=[7] * 12), min_segment=1)
    log.frame(group(["later"], day(40), org="org-0"), min_segment=1)


def of_one_target(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:5], day(2), org="org-0", target="mail"))


def twice_on_two_days(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:20], day(2), org="org-0"), min_segment=1)
    log.frame(group(UUIDS[19:39], day(3), org="org-0"), min_segment=1)


def twice(log: LedgerLog) -> None:
    log.frame(group([*UUIDS[:5], UUIDS[0]], day(2), org="org-0"), min_segment=1)


def deleted(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:5], day(2), org="org-0"), group(UUIDS[1:2], day(3), kind="deleted", org="org-0"))


def touched(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:5], day(2), org="org-0", category="orders"))
    log.frame(group(UUIDS[1:2], day(3), kind="touched", org="org-0", category="orders"))


def derived(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:5], day(2), org="org-0", category="orders"))
    log.frame(group(UUIDS[5:7], day(2), org="org-0", parents=[UUIDS[0], ""]))


def held(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:5], day(2), org="org-0"))
    log.hold(org="org-0", records=[UUIDS[3]])


def asked_for(log: LedgerLog) -> None:
    log.frame(group(UUIDS[:5], day(2), org="org-0", subjects=[1, 2, 3, 4, 5]))
    log.erase("late", 4, org="org-0", through=1)


def carried_out(given: Callable[[LedgerLog], None]) -> tuple[LedgerLog, dict[bytes, bytes]]:
    """Let something come, and all days until it is due; return the log, and its state before anything is answered."""
    log = ready(*CATEGORIES, pending_batches=4)
    for n in range(3):
        log.open(f"org-{n}")
    given(log)
    log.to_day(35)
    log.to_day(60)
    assert isinstance(log.store, MemoryStore)
    state = dict(log.store.scan(b""))
    waiting = list(log.batches(log.sends))
    while waiting:
        waiting += log.batches(log.ack(waiting.pop(0)))
    return log, state


def say_the_same(key: bytes, value: bytes, other: bytes) -> bool:
    """Tell whether two rows at `key` are the same, a pending batch's body by what it says: a segment's is smaller."""
    if key[:1] != keys.PENDING:
        return value == other
    (head, body), (other_head, other_body) = rows.split(value), rows.split(other)
    return head == other_head and same(decode_columns(body), decode_columns(other_body))


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        *((case, True) for case in (plain, of_several_days, of_one_target)),
        *((case, False) for case in (twice, twice_on_two_days, deleted, held, asked_for, derived)),
    ],
)
def test_a_segment_that_goes_whole_goes_as_its_rows_would_one_by_one(
    given: Callable[[LedgerLog], None], whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []
    settle = whole_segments.settle

    def watched(*given: Any) -> bool:
        tried.append(settle(*given))
        return tried[-1]

    monkeypatch.setattr(whole_segments, "settle", watched)
    found, state = carried_out(given)
    monkeypatch.setattr(whole_segments, "settle", lambda *_: False)
    row_by_row, expected = carried_out(given)

    assert tried[0] is whole
    assert found.sends == row_by_row.sends
    assert state.keys() == expected.keys()
    assert [key for key, value in state.items() if not say_the_same(key, value, expected[key])] == []


def test_a_segment_with_touches_is_looked_at_row_by_row() -> None:
    log, _ = carried_out(touched)

    assert log.erased() == UUIDS[:5]


def several_days() -> LedgerLog:
    log = ready(category("messages", "30 d"), step_records=1_000)
    for n in range(3):
        log.frame(group(UUIDS[12 * n : 12 * n + 12], day(2 + n), subjects=list(range(12))), min_segment=1)
    return log


def test_rows_of_whole_segments_that_are_withheld_come_back_and_go() -> None:
    log = several_days()
    (batch,) = log.batches(log.to_day(36))

    log.ack(batch, withheld=[5, 17, 30])

    (again,) = log.batches(log.to_day(37))
    assert batch.ids == UUIDS[:36]
    assert sorted(again.ids) == sorted(UUIDS[row] for row in (5, 17, 30))


def test_whole_segments_are_sent_again_as_they_were() -> None:
    log = several_days()
    (batch,) = log.batches(log.to_day(36))

    (again,) = log.batches(log.ack(batch, outcome="retry"))

    assert (again.id, again.ids) == (batch.id, batch.ids)


def test_a_hold_finds_its_record_in_whole_segments_that_are_on_their_way() -> None:
    log = several_days()
    (batch,) = log.batches(log.to_day(36))

    log.hold(records=[UUIDS[17]])
    (rest,) = log.batches(log.ack(batch, outcome="retry"))

    assert rest.ids == [*UUIDS[:17], *UUIDS[18:36]]


def test_segments_of_more_than_half_a_batch_fill_batches() -> None:
    log = ready(category("messages", "30 d"), batch_records=10)
    for n in range(4):
        log.frame(group(UUIDS[6 * n : 6 * n + 6], day(2), subjects=[1] * 6), min_segment=1)

    assert [len(batch.ids) for batch in log.batches(log.to_day(36))] == [10, 10, 4]
