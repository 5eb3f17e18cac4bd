"""A list holds what the oracle says is there, in random worlds; and bugs planted into it are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from streams.ledger import select_list
from streams.ledger.marks import Joined
from streams.ledger.select_list import Lister
from tests.model.selects import SelectWorld
from tests.model.witness import Broken

SEEDS = range(6)
DAYS = 45

Patch = pytest.MonkeyPatch


def test_a_list_holds_what_is_there_and_nothing_else() -> None:
    counts = _play_all()

    assert counts["lists"] > 50
    assert counts["listed exactly"] > 1000
    assert counts["of people"] > 100


def moves_not_followed(patch: Patch) -> None:
    def careless(plan: Any, key: Any, pair: Any, columns: Any, marks: Joined) -> Any:
        marks.moves = lambda name: {}  # type: ignore[method-assign]
        return select(plan, key, pair, columns, marks)

    select = select_list.select
    patch.setattr(select_list, "select", careless)


def withheld_rows_forgotten(patch: Patch) -> None:
    patch.setattr(Lister, "queued", lambda self, value: None)


def everyone_listed(patch: Patch) -> None:
    patch.setattr(Lister, "_mine", lambda self, category, columns: columns)


def packs_passed_over(patch: Patch) -> None:
    from streams.ledger import selects, sheaves

    patch.setattr(sheaves, "draw", lambda work, org: None)
    patch.setattr(selects, "_waits", lambda work, org, run: False)


BUGS: Mapping[str, Callable[[Patch], None]] = {
    bug.__name__: bug for bug in (moves_not_followed, withheld_rows_forgotten, everyone_listed, packs_passed_over)
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_planted_into_lists_is_found_by_a_few_seeds(name: str, monkeypatch: Patch) -> None:
    BUGS[name](monkeypatch)

    with pytest.raises(Broken, match="select"):
        _play_all()


def _play_all() -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        counts += SelectWorld(seed, days=DAYS).run(fold=seed == SEEDS[0]).counts
    return counts
