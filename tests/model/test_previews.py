"""A preview counts what the ledger then erases, to the record, in random worlds; and bugs planted into it are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from streams.ledger import dry_count, previews, select_rows, sheaves, tally
from streams.ledger.dry_count import DryCount
from streams.ledger.marks import Joined
from streams.ledger.state import Work
from tests.model.previews import PreviewWorld
from tests.model.witness import Broken

SEEDS = (14, 16, 20, 6, 7, 0, 1)
DAYS = 45

Patch = pytest.MonkeyPatch


def test_a_preview_counts_what_is_then_erased_to_the_record() -> None:
    counts = _play_all()

    assert counts["answers"] == counts["asked"] > 50
    assert all(counts[f"exact {when}"] > 0 for when in ("noon", "tomorrow", "set"))
    assert counts["exact set"] > 50


def duplicates_counted_twice(patch: Patch) -> None:
    patch.setattr(tally.Seen, "masks", lambda self, words: np.zeros(len(words), np.uint64))


def deletes_ignored(patch: Patch) -> None:
    choose = select_rows.choose

    def careless(at: Any, key: Any, due: Joined) -> Any:
        due.cancelled = lambda target: np.zeros(len(due.columns), np.bool_)  # type: ignore[method-assign]
        return choose(at, key, due)

    patch.setattr(select_rows, "choose", careless)


def packs_left_out(patch: Patch) -> None:
    patch.setattr(DryCount, "newest_of_all", lambda self: -2)
    patch.setattr(sheaves, "has", lambda work, org: False)


def followers_forgotten(patch: Patch) -> None:
    patch.setattr(DryCount, "_follow", lambda self, erased: None)


def only_the_first_target_counted(patch: Patch) -> None:
    masks = dry_count._masks
    patch.setattr(dry_count, "_masks", lambda *args: masks(*args) & np.uint64(1))


def changes_meanwhile_not_heard(patch: Patch) -> None:
    def deaf(work: Work) -> None:
        work.changed.clear()
        work.arrived.clear()

    patch.setattr(previews, "hear", deaf)


BUGS: Mapping[str, Callable[[Patch], None]] = {
    bug.__name__: bug
    for bug in (
        duplicates_counted_twice,
        deletes_ignored,
        packs_left_out,
        followers_forgotten,
        only_the_first_target_counted,
        changes_meanwhile_not_heard,
    )
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_planted_into_previews_is_found_by_a_few_seeds(name: str, monkeypatch: Patch) -> None:
    BUGS[name](monkeypatch)

    with pytest.raises(Broken, match="preview"):
        _play_all()


def _play_all() -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        counts += PreviewWorld(seed, days=DAYS).run(fold=seed == SEEDS[0]).counts
    return counts
