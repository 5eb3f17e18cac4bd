"""What anonymising a field promises, for any value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refused
from schemas.plans import FieldAction
from sinks.anonymise import HASH_LENGTH, Anonymiser, mask

VALUES = st.text(min_size=1, max_size=200)
ORGS = st.text(min_size=1, max_size=20)
RULES = st.sampled_from(
    [FieldAction("null"), FieldAction("mask"), FieldAction("hash"), FieldAction("replace", "[erased]")]
)
HOW = Anonymiser(b"a secret of at least 16 bytes")


@given(RULES, ORGS, VALUES)
def test_doing_it_again_changes_nothing(rule: FieldAction, org: str, value: str) -> None:
    once = HOW.apply(rule, org, value)

    assert HOW.apply(rule, org, once) == once


@given(RULES, ORGS, st.text(alphabet="ghijkmnopqtuvwxyz@_ GHIJKLÄß", min_size=2, max_size=60))
def test_no_part_of_the_value_survives(rule: FieldAction, org: str, value: str) -> None:
    after = HOW.apply(rule, org, value) or ""

    assert not [value[i : i + 2] for i in range(len(value) - 1) if value[i : i + 2] in after]


@given(VALUES)
def test_a_mask_fits_where_the_value_was_and_tells_only_its_order_of_magnitude(value: str) -> None:
    masked = mask(value)

    assert set(masked) == {"*"}
    assert len(masked) <= len(value) < 2 * len(masked) or len(masked) == 64


@given(ORGS, VALUES, VALUES)
def test_equal_values_of_an_org_stay_equal_and_others_differ(org: str, value: str, other: str) -> None:
    rule = FieldAction("hash")

    assert (HOW.apply(rule, org, value) == HOW.apply(rule, org, other)) == (value == other)
    assert HOW.apply(rule, org, value) != HOW.apply(rule, org + "x", value)


def test_a_hash_has_the_length_that_columns_are_checked_for() -> None:
    assert len(HOW.apply(FieldAction("hash"), "acme", "ada@example.org") or "") == HASH_LENGTH


def test_what_only_looks_like_a_hash_is_hashed() -> None:
    forged = "ebh1:" + "0" * 48

    assert HOW.apply(FieldAction("hash"), "acme", forged) != forged


def test_another_secret_gives_another_hash() -> None:
    other = Anonymiser(b"another secret of 16 bytes")

    assert other.apply(FieldAction("hash"), "acme", "a") != HOW.apply(FieldAction("hash"), "acme", "a")


def test_nothing_stays_nothing() -> None:
    kinds = [FieldAction("null"), FieldAction("mask"), FieldAction("hash"), FieldAction("replace", "x")]

    assert [HOW.apply(rule, "acme", None) for rule in kinds] == [None] * 4


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(Refused, match="16 bytes"):
        Anonymiser(b"short")
