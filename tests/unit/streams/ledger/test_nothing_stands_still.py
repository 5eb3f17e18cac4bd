"""What is promised under strain: nothing that is due is passed over or forgotten, and no work goes on for ever."""

from __future__ import annotations

from streams.ledger.rows import Segment
from tests.support.ledger_log import LedgerLog, category, day, group, ready, rules

IDS = [f"r{n:03}" for n in range(600)]


def drain(log: LedgerLog, *, but: str = "") -> None:
    """Let every target but one answer at once, until nothing more is sent."""
    done: set[str] = set()
    while waiting := [batch for batch in log.batches() if batch.id not in done and batch.target != but]:
        for batch in waiting:
            done.add(batch.id)
            log.ack(batch)


def test_marks_merged_twice_in_one_step_keep_every_touch() -> None:
    log = ready(category("messages", "30 d", clock="last_activity"), fresh=False)
    early, late = IDS[:56], IDS[56:64]
    log.frame(group([*early, *late], day(0)))
    for n in range(7):
        log.frame(group(early[8 * n : 8 * n + 8], day(20), kind="touched"))
    for number, name in enumerate(late):
        log.frame(group([name], day(20 + number / 100), kind="touched"))

    sends = log.to_day(31)

    assert log.erased(sends) == []


def test_a_pass_that_waits_for_its_target_goes_on_with_the_rows_it_left() -> None:
    log = ready(category("messages", "30 d", clock="deactivation"), batch_records=100, pending_batches=3)
    log.frame(group(IDS, day(0)))
    log.frame(group(IDS, day(1), kind="deactivated"))

    log.to_day(32)
    drain(log)

    assert log.erased() == IDS


def test_marks_that_an_old_pack_keeps_do_not_keep_the_ledger_busy() -> None:
    log = ready()
    log.to_day(60)
    log.frame(group(["x"], day(5), org="closed"))

    log.frame(group(["a"], day(10), kind="deleted"))
    steps = log.steps
    log.tick(60.6)

    assert log.steps == steps


def test_a_pair_that_waits_for_a_target_goes_on_when_the_rules_lose_that_target() -> None:
    both = category("messages", targets=("crm", "lake"))
    log = ready(both, batch_records=10, pending_batches=1)
    log.frame(group(IDS[:30], day(0)))
    log.to_day(91)
    drain(log, but="lake")

    log.rules(rules(category("messages"), version=2, batch_records=10, pending_batches=1))
    drain(log, but="lake")

    assert log.erased(target="crm") == IDS[:30]


def test_a_target_that_may_have_fewer_batches_from_now_on_is_waited_for_quietly() -> None:
    log = ready(batch_records=10, pending_batches=4)
    log.frame(group(IDS[:30], day(0)))
    log.to_day(91)
    log.rules(rules(category("messages"), version=2, batch_records=10, pending_batches=2))

    log.frame(group(IDS[30:40], day(0)))
    drain(log)

    assert log.erased() == IDS[:40]


def test_rows_of_an_unknown_target_stay_aside_until_the_rules_know_it() -> None:
    log = ready(step_records=100)
    for n in range(8):
        log.frame(group(IDS[75 * n : 75 * n + 75], day(n), target="old"))
    log.to_day(200)

    aside = dict(log.store.scan(b"z"))

    log.rules(rules(category("messages"), version=2, step_records=100))
    still = dict(log.store.scan(b"z"))
    log.rules(rules(category("messages", targets=("crm", "old")), version=3, step_records=100))

    assert aside
    assert still == aside
    assert log.erased(target="old") == IDS


def test_a_change_of_rules_puts_back_no_more_rows_in_a_step_than_the_rules_say() -> None:
    log = ready(step_records=100)
    for n in range(8):
        log.frame(group(IDS[75 * n : 75 * n + 75], day(n), target="old"))
    log.to_day(200)
    log.rules(rules(category("messages", "300 d", targets=("crm", "old")), version=2, step_records=100), run=False)
    most = 0

    while log.own:
        before = _stranded(log)
        log.step()
        most = max(most, before - _stranded(log))

    assert 0 < most <= 150
    assert _stranded(log) == 0


def _stranded(log: LedgerLog) -> int:
    return sum(Segment.unpack(value).count for _, value in log.store.scan(b"z"))


def test_two_partitions_of_one_org_never_share_a_batch_id() -> None:
    found = []
    for partition in range(2):
        log = LedgerLog(partition=partition, partitions=2)
        log.rules(rules(category("messages")))
        log.to_day(0)
        log.open(shards=[2])
        log.frame(group([f"p{partition}"], day(0)))
        found += [batch.id for batch in log.batches(log.to_day(91))]

    assert len(found) == len(set(found)) == 2


def test_a_move_still_counts_for_a_record_that_was_touched_long_after() -> None:
    both = category("messages", "30 d", clock="last_activity", targets=("crm", "lake"))
    log = ready(both)
    log.frame(group(["a"], day(0), target="crm"), group(["b"], day(0), target="crm"))
    log.frame(group(["a"], day(10), kind="moved", targets=["lake"]))
    for number in range(20, 200, 20):
        log.to_day(number)
        log.frame(group(["a", "b"], day(number), kind="touched"))
        drain(log)

    log.to_day(300)

    assert log.erased(target="lake") == ["a"]
    assert log.erased(target="crm") == ["b"]


def test_a_pass_ends_though_the_marks_that_began_it_are_forgotten() -> None:
    log = ready(category("messages", "30 d", clock="deactivation"), step_records=40)
    log.frame(group(["a"], day(1)))
    log.frame(group(["a"], day(1.5), kind="deactivated"))
    for n in range(4):
        log.frame(group(IDS[30 * n : 30 * n + 30], day(150 + n)))
    log.to_day(31)

    sends = log.to_day(200)
    steps = log.steps
    log.tick(200.6)

    assert log.erased(sends) == ["a"]
    assert log.steps == steps


def test_many_small_segments_that_came_at_once_are_merged_all() -> None:
    log = ready()
    for n in range(48):
        log.frame(group([f"r{n}-{m}" for m in range(64)], day(0)), run=False)

    log.run()

    assert len(list(log.store.scan(b"s"))) < 8


def test_a_step_looks_at_no_more_records_of_pairs_that_must_wait_than_the_rules_say() -> None:
    log = ready(
        category("messages", "30 d", clock="deactivation"), step_records=200, batch_records=10, pending_batches=1
    )
    for number in range(12):
        org = f"org{number:02}"
        log.open(org)
        log.frame(group(IDS[:60], day(0), org=org), min_segment=1)
        log.frame(group(IDS[:60], day(1), org=org, kind="deactivated"))
    log.to_day(32, run=False)
    blocked = []

    while log.own:
        before = len(list(log.store.scan(b"b")))
        log.step()
        blocked.append(len(list(log.store.scan(b"b"))) - before)

    assert sum(blocked) == 12
    assert max(blocked) == 2
