"""What was fetched: it comes in order, decoded, and what was forgotten never comes."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, get_ident
from typing import Any, cast

import pytest
from confluent_kafka import Message

from streams.runner.fetched import Fetched


class Said:
    """As much of a message as is looked at."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value


def messages(*values: bytes) -> list[Message]:
    return [cast(Message, Said(value)) for value in values]


def decode(message: Message) -> tuple[bytes | None, int]:
    if message.value() == b"broken":
        raise ValueError("it cannot be decoded")
    return cast(bytes, message.value()), get_ident()


@pytest.fixture
def fetched() -> Iterator[Fetched[Any]]:
    made = Fetched(decode)
    yield made
    made.close()


def drained(fetched: Fetched[Any]) -> list[bytes]:
    found = []
    while (one := fetched.first()) is not None:
        found.append(one[0])
        fetched.pop()
    return found


def test_messages_come_in_the_order_in_which_they_were_added(fetched: Fetched[Any]) -> None:
    fetched.add(messages(b"1", b"2"))
    fetched.add([])
    fetched.add(messages(b"3"))

    assert drained(fetched) == [b"1", b"2", b"3"]
    assert fetched.empty


def test_they_are_decoded_by_another_thread(fetched: Fetched[Any]) -> None:
    fetched.add(messages(b"1"))

    first = fetched.first()

    assert first is not None
    assert first[1] != get_ident()


def test_what_comes_first_stays_until_it_is_taken_out(fetched: Fetched[Any]) -> None:
    fetched.add(messages(b"1", b"2"))

    fetched.first()

    assert not fetched.empty
    assert drained(fetched) == [b"1", b"2"]


def test_what_is_forgotten_never_comes(fetched: Fetched[Any]) -> None:
    fetched.add(messages(b"1", b"2"))
    fetched.first()
    fetched.add(messages(b"3"))

    fetched.clear()
    fetched.add(messages(b"4"))

    assert drained(fetched) == [b"4"]


def test_the_size_of_what_is_coming_is_known(fetched: Fetched[Any]) -> None:
    fetched.add(messages(b"12", b"3"))
    fetched.add(messages(b"4567"))
    before = fetched.coming_bytes

    fetched.first()

    assert before == 7
    assert fetched.coming_bytes == 4


def test_it_is_told_whether_what_comes_next_must_be_waited_for(fetched: Fetched[Any]) -> None:
    go = Event()

    class Slow(Said):
        def value(self) -> bytes:
            assert get_ident() == main or go.wait(60)
            return super().value()

    main = get_ident()
    fetched.add([cast(Message, Slow(b"1"))])
    before = fetched.ready
    go.set()
    fetched.first()

    assert not before
    assert fetched.ready
    fetched.pop()
    assert fetched.ready


def test_what_decoding_raises_is_raised_where_the_message_is_asked_for(fetched: Fetched[Any]) -> None:
    fetched.add(messages(b"broken"))

    with pytest.raises(ValueError, match="cannot be decoded"):
        fetched.first()
