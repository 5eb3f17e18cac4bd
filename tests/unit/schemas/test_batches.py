"""`schemas.batches`: a batch says which ids it was made of, whichever way they were written."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.wire import HEADER, WireError
from schemas.batches import decode_batch, encode_batch, head_of, with_texts
from schemas.codec import full_codec
from schemas.columns import Ids

CODEC = full_codec()
HEAD = {
    "batch_id": "0f" * 16,
    "target": "postgres-crm",
    "org": "acme",
    "category": "messages",
    "action": "delete",
    "reason": "retention",
    "rules_version": 3,
    "policy_version": 0,
    "as_of_day": 20_000,
}


UUIDS = st.lists(st.uuids().map(str), max_size=70)
TEXTS = st.lists(st.text(min_size=3, max_size=3), max_size=9) | st.lists(st.text(max_size=8), max_size=9)
MIXED = st.lists(st.text(max_size=8) | st.uuids().map(str) | st.uuids().map(lambda u: str(u).upper()), max_size=9)


def written(texts: list[str]) -> dict[str, Any]:
    """Return a batch as its schema has it: UUIDs as bytes if there is nothing else."""
    uuids = b"".join(UUID(text).bytes for text in texts) if texts and all(map(is_uuid, texts)) else b""
    return {**HEAD, "record_ids": [] if uuids else texts, "uuids": uuids}


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


@given(UUIDS | TEXTS | MIXED)
def test_ids_as_columns_and_as_texts_make_the_same_message(texts: list[str]) -> None:
    whole = CODEC.encode("ErasureBatch", written(texts))

    assert encode_batch(CODEC, HEAD, Ids.of(texts)) == whole
    assert encode_batch(CODEC, HEAD, texts) == whole


@given(UUIDS | TEXTS | MIXED)
def test_a_batch_says_which_ids_it_was_made_of(texts: list[str]) -> None:
    value = encode_batch(CODEC, HEAD, texts)

    assert decode_batch(CODEC, value) == {**HEAD, "record_ids": texts}
    assert head_of(value) == (HEAD, len(texts))


@pytest.mark.parametrize("count", [1, 63, 64, 8191, 8192])
def test_the_number_of_ids_may_have_any_length(count: int) -> None:
    for texts in ([str(UUID(int=n)) for n in range(count)], [f"{n:04}" for n in range(count)]):
        value = encode_batch(CODEC, HEAD, texts)

        assert decode_batch(CODEC, value)["record_ids"] == texts
        assert head_of(value) == (HEAD, count)


@given(UUIDS | TEXTS | MIXED, st.sampled_from(["flip", "cut", "add"]), st.integers(0, 1 << 12), st.integers(1, 255))
def test_a_damaged_batch_is_what_the_codec_makes_of_it(texts: list[str], how: str, at: int, byte: int) -> None:
    value = bytearray(encode_batch(CODEC, HEAD, texts))
    place = HEADER.size + at % (len(value) - HEADER.size)
    if how == "flip":
        value[place] ^= byte
    elif how == "cut":
        del value[place:]
    else:
        value.append(byte)
    try:
        expected = with_texts(CODEC.decode(bytes(value))[1])
    except WireError as error:
        with pytest.raises(WireError, match=re.escape(str(error))):
            decode_batch(CODEC, bytes(value))
    else:
        assert decode_batch(CODEC, bytes(value)) == expected


@pytest.mark.parametrize("uuids", [b"x" * 15, b"x" * 17])
def test_uuids_that_are_cut_off_are_refused(uuids: bytes) -> None:
    with pytest.raises(WireError, match="bytes of UUIDs"):
        decode_batch(CODEC, CODEC.encode("ErasureBatch", {**HEAD, "record_ids": [], "uuids": uuids}))


def test_ids_of_both_kinds_are_refused() -> None:
    both = {**HEAD, "record_ids": ["a", "bc"], "uuids": bytes(16)}

    with pytest.raises(WireError, match="beside 2 texts"):
        decode_batch(CODEC, CODEC.encode("ErasureBatch", both))


@pytest.mark.parametrize("stop", [5, 20, 60])
def test_a_head_that_is_cut_off_is_refused(stop: int) -> None:
    with pytest.raises(WireError, match="ErasureBatch"):
        head_of(encode_batch(CODEC, HEAD, [])[:stop])
