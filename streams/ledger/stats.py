"""What a partition's state says of itself: for the command line, metrics and the doctor.

Pure reads over any ordered store; nothing here names a record or a person. `tests/unit/streams/ledger/test_stats.py`
says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.ledger import keys
from streams.ledger.rows import ClockRow, OrgRow, PacksRow, PairRow, TargetRow
from streams.reducer import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStats:
    """One target's counts on one partition."""

    pending: int
    blocked: bool
    batches_sent: int
    batches_acked: int
    records_sent: int
    records_acked: int
    records_changed: int
    records_withheld: int
    records_failed: int
    retries: int
    restored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStats:
    """One partition's counts. `now_ms` and `day` are ledger time, -1: unknown. `records_at_most` is an upper bound."""

    now_ms: int
    day: int
    records_at_most: int
    packed_records: int
    closed_records: int
    stranded_records: int
    orgs_open: int
    orgs_closed: int
    orgs_settling: int
    pairs: int
    due_pairs: int
    blocked_pairs: int
    replayed: int
    strayed: int
    ticks_ignored: int
    acks_unknown: int
    acks_bad: int
    batches_resent: int
    targets: dict[str, TargetStats]


def clock(store: Store) -> ClockRow:
    """Return the partition's clock row: one read."""
    raw = store.get(keys.CLOCK)
    return ClockRow() if raw is None else ClockRow.unpack(raw)


def targets(store: Store) -> dict[str, TargetStats]:
    """Return each target's counts: one row each."""
    found = {}
    for key, value in store.scan(keys.TARGET):
        row = TargetRow.unpack(value)
        name = keys.read_text(key, 1)[0]
        found[name] = TargetStats(**{field: getattr(row, field) for field in TargetStats.__dataclass_fields__})
    return found


def stats(store: Store) -> LedgerStats:
    """Return the partition's counts. Reads every org's and pair's row, so not for every second."""
    now = clock(store)
    orgs = [OrgRow.unpack(value).open for _, value in store.scan(keys.ORG)]
    pairs = [PairRow.unpack(value) for _, value in store.scan(keys.PAIR)]
    packed = _packed(store)
    return LedgerStats(
        now_ms=now.now,
        day=now.day,
        records_at_most=sum(pair.count for pair in pairs) + packed + now.stranded,
        packed_records=packed,
        closed_records=now.closed,
        stranded_records=now.stranded,
        orgs_open=sum(orgs),
        orgs_closed=len(orgs) - sum(orgs),
        orgs_settling=now.settling,
        pairs=len(pairs),
        due_pairs=sum(bool(pair.place) and pair.due <= now.day for pair in pairs),
        blocked_pairs=now.blocked,
        replayed=now.replayed,
        strayed=now.strayed,
        ticks_ignored=now.ticks_ignored,
        acks_unknown=now.acks_unknown,
        acks_bad=now.acks_bad,
        batches_resent=now.batches_resent,
        targets=targets(store),
    )


def _packed(store: Store) -> int:
    """Return how many records lie in packs and sheaves."""
    raw = store.get(keys.PACKS)
    row = PacksRow() if raw is None else PacksRow.unpack(raw)
    return row.records + row.sheaved
