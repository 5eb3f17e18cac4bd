"""What a set's digest promises: it is that of the members, whatever their order and the steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.ledger.set_digest import SetDigest

members = st.sets(st.binary(min_size=1, max_size=20), max_size=30)


def digest(*steps: list[bytes]) -> str:
    state = b""
    for step in steps:
        made = SetDigest(state)
        made.add(step)
        state = made.state
    return SetDigest(state).hex()


@given(members, st.randoms())
def test_order_and_steps_do_not_matter(found: set[bytes], random: object) -> None:
    ordered = sorted(found)
    half = len(ordered) // 2

    assert digest(ordered) == digest(ordered[half:], ordered[:half]) == digest(ordered[::-1])


@given(members, st.binary(min_size=21, max_size=30))
def test_one_member_more_is_another_set(found: set[bytes], more: bytes) -> None:
    assert digest(sorted(found)) != digest([*sorted(found), more])


def test_two_that_swap_a_part_of_their_names_are_another_set() -> None:
    assert digest([b"a\0b", b"c\0d"]) != digest([b"a\0d", b"c\0b"])


def test_the_digest_never_changes() -> None:
    assert digest([b"one", b"two"]) == digest([b"two"], [b"one"])
    assert SetDigest().hex() == "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad"
