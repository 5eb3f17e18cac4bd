"""The proof of the proof: bugs planted into proofs, each of which a few seeds must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.model import planted_proofs
from tests.model.play import SEEDS, play
from tests.model.reuse import ReuseWorld
from tests.model.witness import Broken

Patch = pytest.MonkeyPatch

BUGS: Mapping[Callable[[Patch], None], int] = {
    planted_proofs.what_is_unknown_taken_for_gone: 0,
    planted_proofs.what_is_back_not_erased_again: 16,
    planted_proofs.what_is_back_erased_although_it_is_held: 41,
    planted_proofs.what_is_back_erased_under_the_same_id: 16,
    planted_proofs.what_is_back_still_counted_as_done: 41,
    planted_proofs.targets_asked_before_their_bound: 16,
    planted_proofs.proven_only_what_a_target_did_whole: 0,
    planted_proofs.questions_without_bound: 16,
}
"""Each with the seed that is played first, one that finds it soon."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_a_few_seeds(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        play((BUGS[bug], *SEEDS))


REUSE_BUGS: Mapping[Callable[[Patch], None], int] = {
    planted_proofs.what_was_made_anew_erased_as_if_it_were_back: 10,
    planted_proofs.what_is_back_taken_for_what_was_made_anew: 10,
    planted_proofs.what_was_made_anew_looked_for_before_packs_are_read: 4,
}
"""The same, in worlds in which ids are used again."""


@pytest.mark.parametrize("bug", REUSE_BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_of_ids_that_are_used_again_is_found(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        ReuseWorld(REUSE_BUGS[bug], days=45).run()
