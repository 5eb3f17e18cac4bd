"""Pairs that wait for a target with room go in the order in which they came, and nobody walks over those that went."""

from __future__ import annotations

import pytest

from tests.support.ledger_log import category, day, group, ready
from tests.support.memory_store import MemoryStore

ORGS = [f"org-{n:03}" for n in range(60)]


def test_a_targets_queue_is_served_from_its_front_whatever_went_before(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ready(category("messages", "90 d"), pending_batches=2, batch_records=1)
    for org in ORGS:
        log.open(org)
    log.frame(*(group([f"{org}-r"], day(1), org=org) for org in ORGS))
    walked: list[bytes] = []
    scan = MemoryStore.scan

    def noted(self: MemoryStore, prefix: bytes, start: bytes = b"") -> object:
        if prefix[:1] == b"b":
            walked.append(max(prefix, start))
        return scan(self, prefix, start)

    waiting = log.batches(log.to_day(92))
    monkeypatch.setattr(MemoryStore, "scan", noted)
    order = []
    while waiting:
        batch = waiting.pop(0)
        order.append(batch.org)
        waiting += log.batches(log.ack(batch))

    assert order == ORGS
    assert len(set(walked)) > len(ORGS) // 2  # it begins further on each time
