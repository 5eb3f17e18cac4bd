"""Subject references: the same for the same person of the same org under the same key, and for nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refused
from schemas.subjects import SubjectKeys
from tests.unit.schemas.test_ragged import scalar_siphash

MASTER = bytes(range(32))


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80), st.text("abc", max_size=5))
def test_a_reference_is_siphash_under_the_orgs_key(subject: str, org: str) -> None:
    keys = SubjectKeys(MASTER)

    assert keys.ref(org, subject) == scalar_siphash(subject.encode(), *keys.of(org))


@given(st.lists(st.text("abc", max_size=5), max_size=9), st.lists(st.text("abc", max_size=5), max_size=9))
def test_the_keys_of_many_orgs_are_those_of_each(first: list[str], then: list[str]) -> None:
    keys = SubjectKeys(MASTER)

    for orgs in (first, then):
        assert keys.of_all([org.encode() for org in orgs]).tolist() == [
            list(SubjectKeys(MASTER).of(org)) for org in orgs
        ]


def test_references_differ_by_org_by_master_and_by_version() -> None:
    every = [
        SubjectKeys(MASTER).ref("acme", "ann"),
        SubjectKeys(MASTER).ref("beta", "ann"),
        SubjectKeys(bytes(32)).ref("acme", "ann"),
        SubjectKeys(MASTER, version=2).ref("acme", "ann"),
    ]

    assert len(set(every)) == 4


def test_the_master_key_shows_in_no_text() -> None:
    assert repr(MASTER) not in repr(SubjectKeys(MASTER))


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_master_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(Refused, match="16 to 64"):
        SubjectKeys(bytes(size))
