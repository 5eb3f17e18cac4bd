"""What closed values promise: they open where they belong, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.values import NotOpened, ValuesSeal, value_fault

SEAL = ValuesSeal.of(b"m" * 32)
PLACE = {"org": "acme", "request_id": "r-1", "category": "messages"}
VALUES = {"name": "Ada Byron", "age": 36, "score": 1.5, "note": None}


def test_values_open_again_where_they_belong() -> None:
    sealed = SEAL.close(VALUES, **PLACE)

    assert SEAL.open(sealed, **PLACE) == VALUES
    assert b"Ada" not in sealed
    assert sealed == SEAL.close(dict(reversed(VALUES.items())), **PLACE)  # a log that is read again says the same


@pytest.mark.parametrize("change", [{"org": "globex"}, {"request_id": "r-2"}, {"category": "media"}])
def test_values_of_another_place_do_not_open(change: dict[str, str]) -> None:
    sealed = SEAL.close(VALUES, **PLACE)

    with pytest.raises(NotOpened):
        SEAL.open(sealed, **{**PLACE, **change})


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 40])
def test_damaged_values_do_not_open(damage: bytes) -> None:
    with pytest.raises(NotOpened):
        SEAL.open(damage, **PLACE)


def test_another_installation_opens_nothing() -> None:
    with pytest.raises(NotOpened):
        ValuesSeal.of(b"n" * 32).open(SEAL.close(VALUES, **PLACE), **PLACE)


@pytest.mark.parametrize("value", ["", "Ada", "x" * 8192, 0, -(2**63) + 1, 1.5, None])
def test_texts_numbers_and_nothing_may_be_set(value: Any) -> None:
    assert value_fault(value) == ""


@pytest.mark.parametrize(
    "value", ["x" * 8193, "é" * 5000, "a\0b", "\ud800", 2**63, float("nan"), float("inf"), True, [], {}]
)
def test_what_no_store_could_keep_may_not_be_set(value: Any) -> None:
    assert value_fault(value)
