from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.uuids import Uuids

GIVEN = st.lists(st.uuids(), max_size=5)


def of(uuids: list[UUID]) -> Uuids:
    return Uuids(b"".join(one.bytes for one in uuids))


@given(uuids=GIVEN)
def test_it_is_a_sequence_of_their_texts(uuids: list[UUID]) -> None:
    texts, made = [str(one) for one in uuids], of(uuids)

    assert list(made) == texts
    assert len(made) == len(texts)
    assert [made[at] for at in range(len(made))] == texts
    assert made[1:3] == tuple(texts[1:3])
    assert all(text in made for text in texts)


@given(uuids=GIVEN, between=st.sampled_from(["", ", ", '", "']))
def test_they_are_joined_as_texts_are(uuids: list[UUID], between: str) -> None:
    assert of(uuids).joined(between) == between.join(map(str, uuids)).encode()


@given(uuids=GIVEN, others=GIVEN)
def test_it_equals_the_same_texts_however_they_are_held(uuids: list[UUID], others: list[UUID]) -> None:
    texts, made = [str(one) for one in uuids], of(uuids)

    assert made == of(uuids)
    assert texts == made
    assert tuple(texts) == made
    assert hash(made) == hash(tuple(texts))
    assert (made == of(others)) == (uuids == others)
    assert (made == [str(one) for one in others]) == (uuids == others)
    assert made != "".join(texts) or not texts


def test_it_shows_no_id_and_takes_no_half_one() -> None:
    made = of([UUID(int=31415926)])

    assert repr(made) == "Uuids(<1 ids>)"
    with pytest.raises(ValueError, match="17 bytes"):
        Uuids(made.raw + b"x")
