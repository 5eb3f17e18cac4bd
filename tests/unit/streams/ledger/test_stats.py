"""What is promised of the read helpers: the state's own counts, without a record's or person's name."""

from __future__ import annotations

from streams.ledger.stats import stats, targets
from tests.support.ledger_log import category, day, group, ready


def test_counts_tell_what_is_kept_due_pending_and_closed() -> None:
    log = ready(batch_records=10, pending_batches=2)
    log.frame(group([f"r{n}" for n in range(100)], day(0)), group(["x"], day(0), org="closed"))
    packed = stats(log.store)

    log.to_day(91)
    swept = stats(log.store)

    assert (packed.packed_records, packed.closed_records, packed.orgs_open, packed.orgs_closed) == (1, 1, 1, 1)
    assert (swept.day, swept.records_at_most, swept.blocked_pairs, swept.packed_records) == (91, 101, 1, 0)
    assert (targets(log.store)["crm"].pending, targets(log.store)["crm"].records_sent) == (2, 20)


def test_stranded_records_are_counted_until_the_rules_know_their_target() -> None:
    log = ready(category("messages", targets=("crm",)))
    log.frame(group(["a"], day(0), target="gone"))

    log.to_day(91)

    assert stats(log.store).stranded_records == 1
