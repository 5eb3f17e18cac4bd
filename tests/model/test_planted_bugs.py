"""The proof of the proof: bugs planted into the real ledger, each of which a few seeds must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.model import planted
from tests.model.play import SEEDS, play
from tests.model.witness import Broken

Patch = pytest.MonkeyPatch

BUGS: Mapping[Callable[[Patch], None], int] = {
    planted.due_a_day_early: 17,
    planted.due_a_day_late: 17,
    planted.a_batch_sent_again_is_not_told_to_the_audit_log: 0,
    planted.touches_ignored: 16,
    planted.reactivations_ignored: 17,
    planted.a_delete_cancels_what_was_created_later: 17,
    planted.deletes_ignored: 41,
    planted.moves_ignored: 16,
    planted.withheld_rows_forgotten: 5,
    planted.withheld_rows_looked_at_a_day_late: 5,
    planted.pending_without_bound: 16,
    planted.one_batch_more_than_may_be_pending: 17,
    planted.steps_without_a_bound: 0,
    planted.steps_that_count_no_record: 41,
    planted.dead_rows_kept_a_day_too_long: 0,
    planted.a_rewrite_brings_dead_rows_back: 17,
    planted.an_org_that_is_not_open_decides: 0,
    planted.orgs_settle_a_round_early: 41,
    planted.the_store_written_before_the_commit: 41,
    planted.derived_records_known_when_they_are_gone: 17,
    planted.batch_ids_from_a_counter: 16,
    planted.replays_taken_as_new: 17,
    planted.policy_changes_not_looked_at: 16,
    planted.a_merge_drops_a_row: 41,
    planted.children_forgotten: 17,
    planted.twins_erased_and_the_rest_of_a_segment_lost: 41,
}
"""Each with the seed that is played first, one that finds it soon."""
FOUND_BY_FOLDING = planted.batch_ids_from_a_counter


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_a_few_seeds(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        play((BUGS[bug], *SEEDS), fold=bug is FOUND_BY_FOLDING)
