"""The wire format: what is written is read, and nothing but what was agreed on."""

from __future__ import annotations

import pytest

from ebbtide.wire import UnknownSchema, WireError, public_codec
from tests.support.lifecycle import event

CODEC = public_codec()
GOOD = CODEC.encode("LifecycleEvent", event())


def test_a_record_comes_back_with_its_schemas_name() -> None:
    assert CODEC.decode(GOOD) == ("LifecycleEvent", event())


def test_a_message_starts_with_zero_and_its_schema_id() -> None:
    assert GOOD[:5] == b"\0\0\0\0\2"


@pytest.mark.parametrize("value", [b"", b"\0\0\0", b"\1" + GOOD[1:]])
def test_what_has_no_header_is_refused(value: bytes) -> None:
    with pytest.raises(WireError, match="Confluent wire format"):
        CODEC.decode(value)


def test_a_schema_that_is_on_no_list_is_refused_unread() -> None:
    with pytest.raises(UnknownSchema, match="77"):
        CODEC.decode(b"\0\0\0\0\x4d" + GOOD[5:])


@pytest.mark.parametrize("value", [GOOD[:-3], GOOD + b"\0", GOOD[:5], GOOD[:5] + b"\x30" + GOOD[6:]])
def test_a_body_that_is_cut_or_followed_by_more_is_refused(value: bytes) -> None:
    with pytest.raises(WireError):
        CODEC.decode(value)
