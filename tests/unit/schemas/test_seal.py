"""What a seal promises: only the key opens it, and no changed byte passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.seal import NotSealed, Seal

KEY = bytes(range(32))


@given(st.binary(max_size=200))
def test_what_was_sealed_is_opened_again(payload: bytes) -> None:
    assert Seal(KEY).open(Seal(KEY).seal(payload)) == payload


def test_the_same_payload_is_sealed_differently_each_time() -> None:
    assert Seal(KEY).seal(b"same") != Seal(KEY).seal(b"same")


def test_another_key_opens_nothing() -> None:
    with pytest.raises(NotSealed, match="EBBTIDE_DEAD_LETTER_KEY"):
        Seal(bytes(32)).open(Seal(KEY).seal(b"secret"))


@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    sealed = bytearray(Seal(KEY).seal(b"payload"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(NotSealed):
        Seal(KEY).open(bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12)])
def test_what_is_too_short_is_refused(sealed: bytes) -> None:
    with pytest.raises(NotSealed):
        Seal(KEY).open(sealed)


def test_the_key_does_not_show() -> None:
    assert KEY.hex() not in repr(Seal(KEY))
    assert repr(KEY) not in repr(Seal(KEY))
