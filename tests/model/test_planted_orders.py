"""The proof of the proof: bugs planted into holds and erasures, each of which a few seeds must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.model import planted_orders
from tests.model.play import SEEDS, play
from tests.model.witness import Broken

Patch = pytest.MonkeyPatch

BUGS: Mapping[Callable[[Patch], None], int] = {
    planted_orders.holds_ignored_by_the_sweep: 5,
    planted_orders.holds_ignored_by_passes: 17,
    planted_orders.holds_ignored_by_derived_records: 5,
    planted_orders.holds_ignored_when_a_batch_is_sent_again: 18,
    planted_orders.holds_ignored_by_requests: 41,
    planted_orders.holds_in_force_whatever_is_on_its_way: 0,
    planted_orders.what_a_released_hold_kept_not_looked_at: 16,
    planted_orders.requests_ignore_minimum_retains: 0,
    planted_orders.requests_do_not_reach_what_is_in_packs: 5,
    planted_orders.requests_do_not_stand: 5,
    planted_orders.requests_forget_what_is_on_its_way: 0,
    planted_orders.acks_counted_twice: 0,
}
"""Each with the seed that is played first, one that finds it soon."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_a_few_seeds(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        play((BUGS[bug], *SEEDS))
