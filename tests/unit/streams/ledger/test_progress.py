"""What is promised of progress: every target once a day, and told until nothing is due."""

from __future__ import annotations

from streams.reducer import Send
from tests.support.ledger_log import TOPICS, category, day, group, ready


def test_every_target_is_told_of_each_day_though_nothing_is_due() -> None:
    log = ready(category("messages", targets=("crm", "lake")))

    for number in (1, 2, 40):
        sends = log.to_day(number)

        for target in ("crm", "lake"):
            told = log.progress(sends, target)[-1]
            assert (told["as_of_day"], told["oldest_due_day"], told["pending"]) == (number, -1, 0)


def test_nothing_is_told_as_done_while_packs_are_not_looked_at() -> None:
    log = ready()
    log.frame(group(["a"], day(0)))

    first = log.to_day(91, run=False)
    rest = log.run()

    assert log.progress(first)[-1]["oldest_due_day"] == 91
    assert log.progress(rest)[-1]["oldest_due_day"] == -1
    assert log.progress(rest)[-1]["pending"] == 1


def test_counts_follow_batches_and_acks() -> None:
    log = ready(batch_records=2)
    log.frame(group(["a", "b", "c"], day(0)))
    batches = log.batches(log.to_day(91))

    sends: list[Send] = []
    for batch in batches:
        sends += log.ack(batch)

    told = log.progress(sends)[-1]
    assert (told["batches_sent"], told["batches_acked"]) == (2, 2)
    assert (told["records_sent"], told["records_acked"], told["records_changed"], told["pending"]) == (3, 3, 3, 0)


def test_the_word_that_all_is_done_waits_for_no_company() -> None:
    log = ready(batch_records=2)
    log.frame(group(["a", "b", "c"], day(0)))
    sent = log.to_day(91)
    answers = [log.ack(batch) for batch in log.batches(sent)]

    last = [[send.last for send in sends if send.topic == TOPICS.progress] for sends in (sent, *answers)]

    assert [any(each) for each in last] == [False, False, True]


def test_a_target_that_others_wait_for_is_told_as_blocked_with_the_day_they_are_due_since() -> None:
    log = ready(pending_batches=1, batch_records=1)
    log.frame(group(["a", "b"], day(0)))

    sends = log.to_day(95)

    told = log.progress(sends)[-1]
    assert (told["blocked"], told["oldest_due_day"], told["pending"]) == (True, 91, 1)


def test_progress_has_a_key_for_each_target_and_partition() -> None:
    log = ready()

    sends = [send for send in log.to_day(5) if send.topic == TOPICS.progress]

    assert {send.key for send in sends} == {b"sweep/crm/0"}
