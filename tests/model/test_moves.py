"""Records that moved and were then deleted where they had been are erased from where they went."""

from __future__ import annotations

import pytest

from tests.model.moves import MovesWorld
from tests.model.planted import a_merge_forgets_where_records_went
from tests.model.witness import Broken

SEEDS = (2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_delete_where_a_record_had_been_leaves_it_due_where_it_went(seed: int) -> None:
    played = MovesWorld(seed).run(fold=seed == SEEDS[0])

    assert played.counts["deleted where they had been"] > 5


def test_a_bug_planted_into_merges_of_what_moved_is_found_by_a_few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    a_merge_forgets_where_records_went(monkeypatch)

    with pytest.raises(Broken):
        _play_all()


def _play_all() -> None:
    for seed in SEEDS:
        MovesWorld(seed).run(fold=False)
