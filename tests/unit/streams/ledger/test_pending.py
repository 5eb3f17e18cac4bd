"""What is promised of batches on their way: bounded, settled row by row, sent again, never forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policy import Setting
from streams.ledger import keys
from streams.ledger.cut import SMALLEST, free, half_free
from streams.ledger.rows import TargetRow
from streams.reducer import Entry
from tests.support.ledger_log import CODEC, TOPICS, Batch, LedgerLog, category, day, group, ready, rules

IDS = [f"r{n:03}" for n in range(100)]


def all_acked(log: LedgerLog, waiting: list[Batch]) -> tuple[int, list[str]]:
    """Acknowledge batches one by one, and what follows; return how many waited at most, and the records of all."""
    most = 0
    taken: list[str] = []
    while waiting:
        most = max(most, len(waiting))
        batch = waiting.pop(0)
        taken += batch.ids
        waiting += log.batches(log.ack(batch))
    return most, taken


def test_a_target_never_has_more_batches_pending_than_the_rules_let_it() -> None:
    log = ready(pending_batches=3, batch_records=10)
    log.frame(group(IDS, day(0)))
    waiting = log.batches(log.to_day(91))

    most, taken = all_acked(log, waiting)

    assert most == 3
    assert sorted(taken) == IDS


def test_small_batches_may_be_more_on_their_way_than_full_ones() -> None:
    log = ready(pending_batches=3, batch_records=4 * SMALLEST)
    for n in range(20):
        log.open(f"org-{n}")
    log.frame(*(group([f"r{n}"], day(0), org=f"org-{n}") for n in range(20)))
    waiting = log.batches(log.to_day(91))

    most, taken = all_acked(log, waiting)

    assert most == 12
    assert sorted(taken) == sorted(f"r{n}" for n in range(20))


def test_an_ack_waits_for_others_to_share_its_checkpoint_only_while_others_may_come() -> None:
    log = ready(pending_batches=3, batch_records=10)
    log.frame(group(IDS[:20], day(0)))
    first, last = log.batches(log.to_day(91))

    copies = [send for batch in (first, last) for send in log.ack(batch) if send.topic == TOPICS.ledger]

    assert [send.can_wait for send in copies if CODEC.name_of(send.value or b"") == "Acked"] == [True, False]


@given(
    room=st.integers(1, 100),
    records=st.integers(1, 4_000),
    sizes=st.lists(st.floats(0, 1), max_size=2_000),
)
def test_a_target_has_no_more_on_its_way_than_its_room_whatever_the_sizes(
    room: int, records: int, sizes: list[float]
) -> None:
    limits = rules(category("messages"), pending_batches=room, batch_records=records)
    row = TargetRow()
    for size in sizes:
        if not free(limits, row):
            break
        row.pending += 1
        row.records_sent += max(1, int(size * records))

    few = room * max(1, records // SMALLEST)
    assert row.pending <= few
    assert row.records_sent <= room * records
    assert free(limits, row) + row.pending >= room
    if not free(limits, row):
        assert not half_free(limits, row) or room == 1


def test_what_waits_for_a_target_is_still_reached_by_a_longer_policy() -> None:
    log = ready(pending_batches=1, batch_records=10)
    log.frame(group(IDS[:30], day(0)))
    sent = log.batches(log.to_day(91))
    log.policy(Setting(category="messages", period="365 d"), version=1)

    freed = log.ack(sent[0])
    later = log.to_day(366)

    assert log.erased(freed) == []
    assert len(log.erased(later)) == 10


def test_a_silent_target_does_not_stop_the_others() -> None:
    log = ready(
        category("messages", targets=("crm",)), category("logs", targets=("lake",)), pending_batches=1, batch_records=10
    )
    log.frame(group(IDS[:30], day(0)), group(IDS[30:60], day(0), category="logs"))
    lake = log.batches(log.to_day(91))
    erased: list[str] = []

    for batch in lake:
        if batch.target == "lake":
            erased += batch.ids
            lake += log.batches(log.ack(batch))

    assert sorted(erased) == IDS[30:60]


def test_a_pair_of_two_targets_waits_for_the_slower_and_sends_each_row_once_to_both() -> None:
    log = ready(category("messages", targets=("crm", "lake")), pending_batches=2, batch_records=10)
    log.frame(group(IDS[:50], day(0)))
    queue = log.batches(log.to_day(91))
    seen: dict[str, list[str]] = {"crm": [], "lake": []}

    while queue:
        batch = queue.pop(0)
        seen[batch.target] += batch.ids
        queue += log.batches(log.ack(batch))

    assert sorted(seen["crm"]) == IDS[:50]
    assert sorted(seen["lake"]) == IDS[:50]


def test_withheld_and_failed_rows_come_back_the_next_day_for_that_target_alone() -> None:
    log = ready(category("messages", targets=("crm", "lake")))
    log.frame(group(IDS[:10], day(0)))
    crm, lake = sorted(log.batches(log.to_day(91)), key=lambda b: b.target)
    same_day = log.ack(crm, withheld=[2, 3], failed=[7]) + log.ack(lake)

    next_day = log.to_day(92)

    assert log.batches(same_day) == []
    assert log.erased(next_day, "crm") == sorted([crm.ids[2], crm.ids[3], crm.ids[7]])
    assert log.erased(next_day, "lake") == []


def test_a_withheld_row_comes_back_in_a_new_batch_until_it_is_erased() -> None:
    log = ready()
    log.frame(group(["a", "b"], day(0)))
    batch = log.batches(log.to_day(91))[0]
    names = {batch.id}

    for number in range(92, 97):
        log.ack(batch, withheld=[batch.ids.index("a")])
        (batch,) = log.batches(log.to_day(number))
        names.add(batch.id)
    log.ack(batch)
    sends = log.to_day(200)

    assert len(names) == 6
    assert log.batches(sends) == []


def test_a_withheld_row_is_decided_on_under_the_policy_then_in_force() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    batch = log.batches(log.to_day(91))[0]
    log.ack(batch, withheld=[0])
    log.policy(Setting(category="messages", period="100 d"), version=1)

    early = log.to_day(92) + log.to_day(100)
    due = log.to_day(101)

    assert log.erased(early) == []
    assert log.erased(due) == ["a"]


def test_a_retry_sends_the_same_bytes_again_even_after_a_policy_change() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    batch = log.batches(log.to_day(91))[0]
    log.policy(Setting(category="messages", period="30 d", action="anonymise"), version=1)

    again = log.batches(log.ack(batch, "retry"))

    assert [b.raw for b in again] == [batch.raw]


def test_a_batch_without_an_ack_is_sent_again_after_the_days_the_rules_say() -> None:
    log = ready(resend_days=45)
    log.frame(group(["a"], day(0)))
    batch = log.batches(log.to_day(91))[0]

    quiet = log.to_day(135)
    again = log.to_day(136)
    soon = log.to_day(137)

    assert log.batches(quiet) == []
    assert [b.raw for b in log.batches(again)] == [batch.raw]
    assert log.batches(soon) == []


def test_an_ack_that_comes_twice_or_of_no_batch_changes_nothing_else() -> None:
    log = ready()
    log.frame(group(["a", "b"], day(0)))
    batch = log.batches(log.to_day(91))[0]
    log.ack(batch, withheld=[0])

    twice = log.ack(batch, withheld=[0])
    next_day = log.to_day(92)

    assert log.batches(twice) == []
    assert log.erased(next_day) == [batch.ids[0]]


def test_an_ack_that_names_a_row_beyond_its_batch_leaves_it_pending() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    batch = log.batches(log.to_day(91))[0]

    log.ack(batch, withheld=[5])
    again = log.batches(log.ack(batch, "retry"))

    assert [b.id for b in again] == [batch.id]


def test_a_row_that_is_only_hidden_stays_pending() -> None:
    log = ready(pending_batches=1, batch_records=1)
    log.frame(group(["a", "b"], day(0)))
    batch = log.batches(log.to_day(91))[0]

    hidden = log.ack(batch, level="hidden")
    deleted = log.ack(batch, level="deleted")

    assert log.batches(hidden) == []
    assert len(log.batches(deleted)) == 1


@pytest.mark.parametrize("value", [b"", b"\0\0\0\0\x30broken", CODEC.encode("Step", {"number": 1})])
def test_a_malformed_ack_becomes_a_dead_letter_and_changes_nothing(value: bytes) -> None:
    log = ready()
    before = dict(log.store.rows())

    sends = log.feed(Entry(topic=TOPICS.acks, partition=0, offset=9, log_ms=5, value=value))

    assert [send.topic for send in sends] == [TOPICS.dead_letters]
    assert dict(log.store.rows()) == before


def test_acks_that_come_together_count_like_those_that_come_one_by_one_and_a_bad_one_keeps_none_back() -> None:
    def told(together: bool) -> tuple[dict[str, int], list[str]]:
        log = ready(batch_records=1)
        log.frame(group(["a", "b", "c"], day(0)))
        done = {"target": "crm", "level": "deleted", "outcome": "applied", "found": 1, "changed": 1}
        good = [{**done, "batch_id": batch.id} for batch in log.batches(log.to_day(91))]
        values = [CODEC.encode("Acks", {"acks": [*good[:2], {**good[0], "batch_id": "none"}, good[2]]})]
        if not together:
            values = [CODEC.encode("Ack", ack) for ack in good]
        topics: list[str] = []
        for offset, value in enumerate(values):
            entry = Entry(topic=TOPICS.acks, partition=0, offset=offset, log_ms=5, value=value)
            topics += [send.topic for send in log.feed(entry)]
        log.run()
        row = TargetRow.unpack(log.store.get(keys.target("crm")) or b"")
        return {"pending": row.pending, "acked": row.batches_acked, "changed": row.records_changed}, topics

    one_by_one, copied = told(together=False)
    at_once, joined = told(together=True)

    assert one_by_one == at_once == {"pending": 0, "acked": 3, "changed": 3}
    assert copied == [TOPICS.ledger] * 3
    assert joined == [TOPICS.dead_letters, TOPICS.ledger]


def test_batches_carry_the_action_and_the_versions_that_decided_them() -> None:
    log = ready(category("messages", action="anonymise"))
    log.frame(group(["a"], day(0)))
    log.policy(Setting(category="messages", period="60 d"), version=7)

    send = next(s for s in log.to_day(61) if s.topic == TOPICS.erasures("crm"))

    assert send.value is not None
    record = CODEC.decode(send.value)[1]
    assert (record["action"], record["policy_version"], record["rules_version"]) == ("anonymise", 7, 1)
    assert record["as_of_day"] == 61
    assert send.key == bytes.fromhex(record["batch_id"])
    assert (send.partition, send.sequenced) == (0, False)


def test_acks_are_copied_into_the_log_before_they_count() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))
    batch = log.batches(log.to_day(91))[0]
    before = dict(log.store.rows())

    copied = log.ack(batch, run=False)

    assert [(s.topic, s.partition, s.sequenced) for s in copied] == [(TOPICS.ledger, 0, True)]
    assert dict(log.store.rows()) == before


def test_the_same_log_makes_the_same_rows_and_sends_with_or_without_memos() -> None:
    def story(fresh: bool) -> LedgerLog:
        log = ready(category("messages", "30 d", clock="last_activity"), fresh=fresh, step_records=20, batch_records=7)
        for number in range(0, 60, 3):
            log.frame(group(IDS[number : number + 20], day(number)), group(IDS[:9], day(number), kind="touched"))
            log.to_day(number)
            for batch in log.batches()[-3:]:
                log.ack(batch, withheld=[0])
        return log

    with_memos, without = story(False), story(True)

    assert [s.value for s in with_memos.sends] == [s.value for s in without.sends]
    assert with_memos.store.rows() == without.store.rows()
