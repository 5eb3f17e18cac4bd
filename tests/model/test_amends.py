"""Records are ordered to be set right as the oracle says they are there, in random worlds; planted bugs are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from streams.ledger import order_list, pending, record_orders
from streams.ledger.select_list import Lister
from tests.model.amends import AmendWorld
from tests.model.witness import Broken

SEEDS = (2, 5, 10)
DAYS = 30

Patch = pytest.MonkeyPatch


def test_each_record_that_is_there_is_ordered_and_none_behind_its_erasure_whatever_crashes() -> None:
    counts = _play_all()

    assert counts["requests"] > 10
    assert counts["orders"] > 30
    assert counts["ordered exactly"] > 50


def batches_ordered_as_well(patch: Patch) -> None:
    patch.setattr(order_list.OrderLister, "batch", Lister.batch)
    patch.setattr(order_list.OrderLister, "_going_ids", lambda self, category, target: set())


def evidence_rewritten(patch: Patch) -> None:
    real = order_list.holds.mask
    patch.setattr(order_list.holds, "mask", lambda *args, legal=False: None if legal else real(*args))


def never_over(patch: Patch) -> None:
    real = record_orders.acked
    patch.setattr(pending.record_orders, "acked", lambda work, ack: ("", ()) if ack["failed"] else real(work, ack))


BUGS: Mapping[str, Callable[[Patch], None]] = {
    bug.__name__: bug for bug in (batches_ordered_as_well, evidence_rewritten, never_over)
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_planted_into_orders_is_found_by_a_few_seeds(name: str, monkeypatch: Patch) -> None:
    BUGS[name](monkeypatch)

    with pytest.raises(Broken, match=r"rectify|select|order|evidence"):
        _play_all()


def _play_all() -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        counts += AmendWorld(seed, days=DAYS).run(fold=seed == SEEDS[0]).counts
    return counts
