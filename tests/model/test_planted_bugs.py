"""The proof of the proof: bugs planted into the real ledger, each of which a few seeds must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest

from tests.model import planted, planted_orders, planted_proofs
from tests.model.reuse import ReuseWorld
from tests.model.simulator import Simulator
from tests.model.witness import Broken

DAYS = 75
"""Longer than in `test_runs.py`: what a mark does wrong shows when its record is due."""

Patch = pytest.MonkeyPatch

BUGS: Mapping[Callable[[Patch], None], int] = {
    planted.due_a_day_early: 26,
    planted.due_a_day_late: 26,
    planted.a_batch_sent_again_is_not_told_to_the_audit_log: 26,
    planted.touches_ignored: 26,
    planted.reactivations_ignored: 4,
    planted.a_delete_cancels_what_was_created_later: 17,
    planted.deletes_ignored: 26,
    planted.moves_ignored: 41,
    planted.withheld_rows_forgotten: 26,
    planted.withheld_rows_looked_at_a_day_late: 2,
    planted.pending_without_bound: 26,
    planted.one_batch_more_than_may_be_pending: 26,
    planted.steps_without_a_bound: 26,
    planted.steps_that_count_no_record: 26,
    planted.dead_rows_kept_a_day_too_long: 5,
    planted.a_rewrite_brings_dead_rows_back: 26,
    planted.an_org_that_is_not_open_decides: 26,
    planted.orgs_settle_a_round_early: 5,
    planted.the_store_written_before_the_commit: 26,
    planted.derived_records_known_when_they_are_gone: 26,
    planted.batch_ids_from_a_counter: 4,
    planted.replays_taken_as_new: 26,
    planted.policy_changes_not_looked_at: 41,
    planted.a_merge_drops_a_row: 26,
    planted.children_forgotten: 26,
    planted.twins_erased_and_the_rest_of_a_segment_lost: 26,
    planted_orders.holds_ignored_by_the_sweep: 5,
    planted_orders.holds_ignored_by_passes: 28,
    planted_orders.holds_ignored_by_derived_records: 26,
    planted_orders.holds_ignored_when_a_batch_is_sent_again: 18,
    planted_orders.holds_ignored_by_requests: 26,
    planted_orders.holds_in_force_whatever_is_on_its_way: 26,
    planted_orders.what_a_released_hold_kept_not_looked_at: 26,
    planted_orders.requests_ignore_minimum_retains: 26,
    planted_orders.requests_do_not_reach_what_is_in_packs: 16,
    planted_orders.requests_do_not_stand: 26,
    planted_orders.requests_forget_what_is_on_its_way: 0,
    planted_orders.acks_counted_twice: 26,
    planted_proofs.what_is_unknown_taken_for_gone: 26,
    planted_proofs.what_is_back_not_erased_again: 26,
    planted_proofs.what_is_back_erased_although_it_is_held: 26,
    planted_proofs.what_is_back_erased_under_the_same_id: 26,
    planted_proofs.what_is_back_still_counted_as_done: 26,
    planted_proofs.targets_asked_before_their_bound: 26,
    planted_proofs.proven_only_what_a_target_did_whole: 26,
    planted_proofs.questions_without_bound: 26,
}
"""Each with the seed that is played first, as it found it."""
SEEDS = sorted(set(BUGS.values()))


REUSE_BUGS: Mapping[Callable[[Patch], None], int] = {
    planted_proofs.what_was_made_anew_erased_as_if_it_were_back: 10,
    planted_proofs.what_is_back_taken_for_what_was_made_anew: 10,
    planted_proofs.what_was_made_anew_looked_for_before_packs_are_read: 4,
}
"""The same, in worlds in which ids are used again."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_a_few_seeds(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        _play((BUGS[bug], *SEEDS))


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_bug_the_same_seed_finds_nothing(seed: int) -> None:
    _play([seed])


@pytest.mark.parametrize("bug", REUSE_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_of_ids_that_are_used_again_is_found(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        ReuseWorld(REUSE_BUGS[bug], days=45).run()


def _play(seeds: Iterable[int]) -> None:
    for seed in seeds:
        Simulator(seed, days=DAYS).run()
