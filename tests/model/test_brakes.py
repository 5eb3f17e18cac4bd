"""The brake in random worlds: nothing unusual goes that nobody approved; and bugs planted into it are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import pytest

from tests.model import planted_brakes
from tests.model.brakes import BrakeWorld
from tests.model.witness import Broken

SEEDS = (3, 9, 10)
DAYS = 45

Patch = pytest.MonkeyPatch


def test_what_is_braked_goes_by_exactly_its_approved_plan() -> None:
    counts = _play(SEEDS)

    assert all(counts[what] > 0 for what in ("braked", "approved", "done", "void", "lifted", "right", "wrong"))


BUGS: Mapping[Callable[[Patch], None], int] = {
    planted_brakes.an_approval_accepted_after_one_more_record: 10,
    planted_brakes.an_approval_of_another_plan_accepted: 3,
    planted_brakes.the_brake_ignored_on_one_partition: 9,
    planted_brakes.what_is_braked_decided_all_the_same: 9,
    planted_brakes.what_comes_while_a_plan_is_carried_out_goes_along: 10,
    planted_brakes.a_plan_carried_out_as_of_today: 10,
    planted_brakes.what_went_today_forgotten: 13,
    planted_brakes.what_arrives_after_the_count_not_counted: 13,
    planted_brakes.policies_that_mend_not_looked_at: 5,
    planted_brakes.plans_that_forget_a_record: 12,
}
"""Each with the seed that is played first, one that finds it soon."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_planted_into_the_brake_is_found(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        _play((BUGS[bug], *range(15)))


def _play(seeds: Iterable[int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts.update(BrakeWorld(seed, days=DAYS).run(fold=seed == SEEDS[0]).counts)
    return counts
