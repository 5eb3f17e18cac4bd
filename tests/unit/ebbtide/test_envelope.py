"""What the envelope promises: what was signed cannot be changed, and what was sealed opens for this request alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.envelope import (
    DOMAIN,
    MAX_SUBJECTS,
    BadEnvelope,
    is_id,
    is_signed,
    open_subjects,
    open_values,
    public_key_of,
    seal_subjects,
    sealing_key_of,
    sign,
    signed_bytes,
    status_key,
)
from ebbtide.wire import public_codec

SEED, OTHER, PRIVATE = b"s" * 32, b"o" * 32, b"p" * 32
SEALING_KEY = sealing_key_of(PRIVATE)
RECORD: dict[str, Any] = {
    "request_id": "r-1",
    "org": "acme",
    "kind": "erase",
    "body": "{}",
    "sealed": b"",
    "requested_by": "someone",
    "requested_at": 1000,
    "expires_at": 2000,
    "key_id": "portal",
}


def test_a_signature_is_checked_with_the_public_half() -> None:
    record = sign(RECORD, SEED)

    assert is_signed(record, public_key_of(SEED))
    assert not is_signed(record, public_key_of(OTHER))
    assert not is_signed({**RECORD, "signature": b""}, public_key_of(SEED))
    assert not is_signed(record, b"no key")


@pytest.mark.parametrize("name", list(RECORD))
def test_no_member_can_be_changed_under_a_signature(name: str) -> None:
    record = sign(RECORD, SEED)
    was = record[name]
    other = was + (1 if isinstance(was, int) else b"x" if isinstance(was, bytes) else "x")

    assert not is_signed({**record, name: other}, public_key_of(SEED))


def test_what_is_signed_has_a_domain_of_its_own_and_survives_the_wire() -> None:
    codec = public_codec()
    record = sign(RECORD, SEED)

    read = codec.decode(codec.encode("Request", record))[1]

    assert signed_bytes(record).startswith(DOMAIN)
    assert signed_bytes(read) == signed_bytes(record)
    assert is_signed(read, public_key_of(SEED))


@given(st.lists(st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable()), min_size=1, max_size=5))
def test_sealed_subjects_open_as_they_were(subjects: list[str]) -> None:
    sealed = seal_subjects(subjects, SEALING_KEY, org="acme", request_id="r-1")

    assert open_subjects(sealed, PRIVATE, org="acme", request_id="r-1") == subjects
    assert all(s.encode() not in sealed for s in subjects if len(s.encode()) > 4)


@pytest.mark.parametrize(
    ("private", "org", "request_id"),
    [(b"q" * 32, "acme", "r-1"), (PRIVATE, "globex", "r-1"), (PRIVATE, "acme", "r-2")],
    ids=["another engine", "another org", "another request"],
)
def test_sealed_subjects_open_nowhere_else(private: bytes, org: str, request_id: str) -> None:
    sealed = seal_subjects(["u-1"], SEALING_KEY, org="acme", request_id="r-1")

    with pytest.raises(BadEnvelope, match="does not open"):
        open_subjects(sealed, private, org=org, request_id=request_id)


@pytest.mark.parametrize("at", [0, 1, 20, 33, -1])
def test_one_flipped_bit_and_nothing_opens(at: int) -> None:
    sealed = bytearray(seal_subjects(["u-1"], SEALING_KEY, org="acme", request_id="r-1"))
    sealed[at] ^= 1

    with pytest.raises(BadEnvelope):
        open_subjects(bytes(sealed), PRIVATE, org="acme", request_id="r-1")


@pytest.mark.parametrize("sealed", [b"", b"\x01", bytes(40), b"\x01" + bytes(60)])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(BadEnvelope):
        open_subjects(sealed, PRIVATE, org="acme", request_id="r-1")


@pytest.mark.parametrize(
    ("subjects", "said"),
    [
        ([], "there are 0"),
        (["u"] * (MAX_SUBJECTS + 1), "there are 1001"),
        (["u", ""], "number 2 has 0 bytes"),
        (["secret" * 2000], "number 1 has 12000 bytes"),
        (["\ud800"], "number 1 is not text"),
    ],
    ids=["none", "too many", "empty", "too long", "no text"],
)
def test_subjects_that_no_engine_takes_are_refused_without_being_named(subjects: list[str], said: str) -> None:
    with pytest.raises(BadEnvelope, match=said) as refused:
        seal_subjects(subjects, SEALING_KEY, org="acme", request_id="r-1")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", [b"", b"k" * 31, bytes(32)], ids=["empty", "short", "of small order"])
def test_a_sealing_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(BadEnvelope, match="sealing key is none"):
        seal_subjects(["u-1"], key, org="acme", request_id="r-1")


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_private_key_of_another_size_is_refused(key: bytes) -> None:
    with pytest.raises(BadEnvelope, match="has 32"):
        sign(RECORD, key)
    with pytest.raises(BadEnvelope, match="has 32"):
        sealing_key_of(key)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True),
        ("x" * 128, True),
        ("A-1.b:c_d", True),
        ("", False),
        ("x" * 129, False),
        ("a/b", False),
        ("a\n", False),
        ("ä", False),
        ("a b", False),
    ],
)
def test_an_id_has_plain_letters_and_no_slash(text: str, good: bool) -> None:
    assert is_id(text) == good


def test_two_orgs_may_choose_the_same_id() -> None:
    assert status_key("acme", "1") != status_key("globex", "1")
    assert status_key("a/b", "c") != status_key("a", "b-c")


VALUES = {"messages": {"name": "Ada Byron", "age": 36, "note": None}}


def test_values_are_sealed_with_the_subjects_and_open_with_them() -> None:
    sealed = seal_subjects(["u-1"], SEALING_KEY, org="acme", request_id="r", values=VALUES)

    assert b"Byron" not in sealed
    assert open_values(sealed, PRIVATE, org="acme", request_id="r") == (["u-1"], VALUES)
    with pytest.raises(BadEnvelope):
        open_subjects(sealed, PRIVATE, org="acme", request_id="r")
    with pytest.raises(BadEnvelope):
        open_values(
            seal_subjects(["u-1"], SEALING_KEY, org="acme", request_id="r"), PRIVATE, org="acme", request_id="r"
        )


@pytest.mark.parametrize("values", [{"m": {"x": float("nan")}}, {"m": {"x": {1}}}, {"m": {"x": "y" * (2 << 20)}}])
def test_values_that_no_engine_takes_are_not_sealed(values: Any) -> None:
    with pytest.raises(BadEnvelope, match="values"):
        seal_subjects(["u-1"], SEALING_KEY, org="acme", request_id="r", values=values)
