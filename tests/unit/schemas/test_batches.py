"""`schemas.batches`: a batch written at once is the message that the codec makes of its texts."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.wire import HEADER, WireError
from schemas.batches import decode_batch, encode_batch, head_of
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


@given(st.lists(st.uuids().map(str), max_size=70) | st.lists(st.text(max_size=8) | st.uuids().map(str), max_size=9))
def test_a_batch_is_the_message_that_the_codec_makes_of_its_ids(texts: list[str]) -> None:
    whole = CODEC.encode("ErasureBatch", {**HEAD, "record_ids": texts})

    assert encode_batch(CODEC, HEAD, Ids.of(texts)) == whole
    assert encode_batch(CODEC, HEAD, texts) == whole


@pytest.mark.parametrize("count", [1, 63, 64, 8191, 8192])
def test_the_number_of_ids_may_have_any_length(count: int) -> None:
    texts = [str(UUID(int=n)) for n in range(count)]

    assert CODEC.decode(encode_batch(CODEC, HEAD, Ids.of(texts)))[1]["record_ids"] == texts


@given(st.lists(st.uuids().map(str), min_size=1, max_size=200) | st.lists(st.text(max_size=8), max_size=9))
def test_a_batchs_head_is_read_without_its_ids(texts: list[str]) -> None:
    assert head_of(encode_batch(CODEC, HEAD, Ids.of(texts))) == (HEAD, len(texts))


@given(
    st.lists(st.uuids().map(str), max_size=70)
    | st.lists(st.text(min_size=3, max_size=3), max_size=9)
    | st.lists(st.text(max_size=8), max_size=9),
    st.sampled_from(["keep", "flip", "cut", "add"]),
    st.integers(0, 1 << 12),
    st.integers(1, 255),
)
def test_a_batch_is_decoded_as_the_codec_does(texts: list[str], how: str, at: int, byte: int) -> None:
    value = bytearray(encode_batch(CODEC, HEAD, texts))
    place = HEADER.size + at % (len(value) - HEADER.size)
    if how == "flip":
        value[place] ^= byte
    elif how == "cut":
        del value[place:]
    elif how == "add":
        value.append(byte)
    try:
        expected = CODEC.decode(bytes(value))[1]
    except WireError as error:
        with pytest.raises(WireError, match=re.escape(str(error))):
            decode_batch(CODEC, bytes(value))
    else:
        assert decode_batch(CODEC, bytes(value)) == expected


@pytest.mark.parametrize("stop", [5, 20, 60])
def test_a_head_that_is_cut_off_is_refused(stop: int) -> None:
    with pytest.raises(WireError, match="ErasureBatch"):
        head_of(encode_batch(CODEC, HEAD, [])[:stop])
