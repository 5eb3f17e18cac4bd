"""`schemas.known`: a name keeps its number until all are forgotten, and shares it with no other, whatever its hash."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.known import Known
from schemas.names import Names
from schemas.ragged import Words


@pytest.fixture(params=["good", "one for all", "four"])
def hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def poor(names: Names, hashes: Words) -> Words:
        return (names.lengths & (0 if request.param == "one for all" else 3)).astype(np.uint64)

    if request.param != "good":
        monkeypatch.setattr(Names, "mixed_into", poor)


@pytest.mark.usefixtures("hashes")
@pytest.mark.parametrize("some", [1, 7, 600])
def test_a_number_stays_and_there_are_no_more_of_them_than_names(some: int) -> None:
    known, seen = Known(1 << 16), dict[str, int]()
    source = np.random.default_rng(some)

    for _ in range(6):
        texts = [f"{'org' * (n % 4)}{n}" for n in source.integers(0, 2 * some, some).tolist()]
        numbers = known.numbers(Names.of(texts))
        for text, number in zip(texts, numbers.tolist(), strict=True):
            assert seen.setdefault(text, number) == number

        assert sorted(seen.values()) == list(range(len(known)))
        assert [known.names[number] for number in seen.values()] == [*seen]
        assert known.find(Names.of(texts)).tolist() == numbers.tolist()


@pytest.mark.usefixtures("hashes")
def test_a_name_that_never_came_has_no_number() -> None:
    known = Known(100)
    known.numbers(Names.of(["acme", "", "beta"]))

    assert known.find(Names.of(["gamma", "acme", "acme\0", ""])).tolist() == [-1, 0, -1, 1]


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 1 << 20), (100, 12)])
def test_when_there_are_too_many_all_are_forgotten_but_those_that_are_asked_for(most: int, most_bytes: int) -> None:
    known = Known(most, most_bytes)
    known.numbers(Names.of(["acme", "beta"]))
    assert known.generation == 0

    numbers = known.numbers(Names.of(["gamma", "delta", "acme", "omega"]))

    assert known.generation == 1
    assert numbers.tolist() == [0, 1, 2, 3]
    assert known.names.texts() == ["gamma", "delta", "acme", "omega"]
    assert known.find(Names.of(["beta"])).tolist() == [-1]
