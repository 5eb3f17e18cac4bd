"""Bugs to plant into the brake: what a few seeds of `test_brakes.py` must find."""

from __future__ import annotations

from typing import Any

import pytest

from streams.ledger import brake_measure, brake_rows, brakes, sweep
from streams.ledger.select_rows import Place

Patch = pytest.MonkeyPatch


def an_approval_accepted_after_one_more_record(patch: Patch) -> None:
    patch.setattr(brakes, "_is_same", lambda row, _: row.state == brake_rows.CHECKING)


def an_approval_of_another_plan_accepted(patch: Patch) -> None:
    approve = brakes.approve

    def careless(work: Any, record: dict[str, Any]) -> None:
        row = brake_rows.of(work, record["org"], record["category"])
        approve(work, record if row is None else {**record, "digest": row.digest, "day": row.day})

    patch.setattr("streams.ledger.ledger.SAID", {**_said(), "BrakeApproved": careless})


def _said() -> dict[str, Any]:
    from streams.ledger import ledger  # as it is now: another bug may have been planted there

    return dict(ledger.SAID)


def the_brake_ignored_on_one_partition(patch: Patch) -> None:
    gate = brakes.gate

    def open_gate(work: Any, at: Place, budget: int) -> Any:
        return (at, 0) if work.context.partition == 0 else gate(work, at, budget)

    patch.setattr(brakes, "gate", open_gate)
    assert sweep.brakes is brakes


def what_is_braked_decided_all_the_same(patch: Patch) -> None:
    gate = brakes.gate

    def leaky(work: Any, at: Place, budget: int) -> Any:
        found, cost = gate(work, at, budget)
        return (at if at.pair.braked and found is None else found), cost

    patch.setattr(brakes, "gate", leaky)


def what_comes_while_a_plan_is_carried_out_goes_along(patch: Patch) -> None:
    approved = brakes._as_approved

    def late(work: Any, at: Place) -> Any:
        at.pair.room = max(at.pair.room, 0)
        return approved(work, at)

    patch.setattr(brakes, "_as_approved", late)


def a_plan_carried_out_as_of_today(patch: Patch) -> None:
    approved = brakes._as_approved

    def hasty(work: Any, at: Place) -> Any:
        found = approved(work, at)
        return None if found is None else found._replace(today=work.today)

    patch.setattr(brakes, "_as_approved", hasty)


def what_went_today_forgotten(patch: Patch) -> None:
    patch.setattr(Place, "decided", lambda *_: None)


def what_arrives_after_the_count_not_counted(patch: Patch) -> None:
    measure = brake_measure.measure

    def roomy(work: Any, at: Place, *more: Any) -> int:
        cost = measure(work, at, *more)
        at.pair.room += 1_000 if at.pair.measure is None and at.pair.room >= 0 else 0
        return cost

    patch.setattr(brake_measure, "measure", roomy)


def policies_that_mend_not_looked_at(patch: Patch) -> None:
    patch.setattr(brake_rows, "anew", lambda *_: None)


def plans_that_forget_a_record(patch: Patch) -> None:
    from streams.ledger.brake_list import PlanLister

    placed = PlanLister.placed

    def short(self: Any, category: str, target: str, columns: Any) -> None:
        placed(self, category, target, columns.slice(0, max(len(columns) - 1, 1)))

    patch.setattr(PlanLister, "placed", short)
