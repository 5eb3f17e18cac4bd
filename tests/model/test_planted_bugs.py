"""The proof of the proof: bugs planted into the real ledger, each of which a few seeds must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.model import planted
from tests.model.play import SEEDS, play
from tests.model.witness import Broken

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
}
"""Each with the seed that is played first, as it found it."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_a_few_seeds(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        play((BUGS[bug], *SEEDS))
