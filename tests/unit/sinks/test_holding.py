"""What a hold plainly covers of a batch, and what becomes of the rest."""

from __future__ import annotations

import pytest

from sinks.base import Job, Outcome
from sinks.batch import Batch, Receipt, RowOutcome
from sinks.holding import HoldInForce, HoldsView, Place, spare

PLACE = Place(0, 5)


def batch(*ids: str, org: str = "acme", category: str = "messages") -> Batch:
    return Batch(id="0" * 32, target="crm", org=org, category=category, action="delete", record_ids=ids)


def view(**changes: object) -> HoldsView:
    return HoldsView([HoldInForce(org="acme", place=PLACE, **changes)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hold", "held"),
    [
        pytest.param({"everyone": True}, {0, 1}, id="of the org"),
        pytest.param({"everyone": True, "categories": frozenset({"messages"})}, {0, 1}, id="of the category"),
        pytest.param({"everyone": True, "categories": frozenset({"logs"})}, set(), id="of another category"),
        pytest.param({"records": frozenset({"b", "x"})}, {1}, id="of a record"),
        pytest.param({}, set(), id="of subjects alone"),
    ],
)
def test_a_hold_covers_what_it_names(hold: dict[str, object], held: set[int]) -> None:
    assert view(**hold).held(batch("a", "b")) == held


def test_a_hold_covers_no_other_org() -> None:
    assert view(everyone=True).held(batch("a", org="globex")) == set()


def test_held_rows_are_withheld_and_the_others_keep_their_ordinals() -> None:
    spared = spare(Job(batch=batch("a", "b", "c", "d", "e")), view(records=frozenset({"a", "c"})))
    assert spared.left is not None
    done = Receipt(
        batch_id="0" * 32,
        rows=3,
        found=3,
        changed=1,
        withheld=(RowOutcome(0, "lock"),),
        failed=(RowOutcome(2, "failed"),),
    )

    receipt = spared.outcome(Outcome(receipt=done)).receipt

    assert receipt is not None
    assert spared.left.batch.record_ids == ("b", "d", "e")
    assert receipt.withheld == (RowOutcome(0, "hold"), RowOutcome(1, "lock"), RowOutcome(2, "hold"))
    assert receipt.failed == (RowOutcome(4, "failed"),)
    assert (receipt.rows, receipt.found, receipt.changed) == (5, 3, 1)


def test_of_a_batch_that_is_held_whole_nothing_is_left_to_do() -> None:
    spared = spare(Job(batch=batch("a", "b")), view(everyone=True))

    receipt = spared.outcome(None).receipt

    assert spared.left is None
    assert receipt is not None
    assert [outcome.reason for outcome in receipt.withheld] == ["hold", "hold"]


def test_who_could_not_be_told_the_rows_gets_nothing_of_a_batch_that_holds_one() -> None:
    spared = spare(Job(batch=batch("a", "b")), view(records=frozenset({"b"})), whole=True)

    assert (spared.left, spared.held) == (None, (0, 1))
