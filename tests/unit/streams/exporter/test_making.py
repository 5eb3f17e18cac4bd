"""What is promised of parts that are made beside each other: taken in order, tried again, let go."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streams.exporter.making import AT_ONCE, GivenUp, Making
from streams.exporter.manifest import Part


@pytest.fixture
def making() -> Iterator[Making]:
    made = Making()
    yield made
    made.close()


def part(seq: int) -> Part:
    return Part(partition=0, seq=seq, last=False, category="messages", target="crm", records=1, rows=1)


def test_the_next_part_is_made_while_the_one_before_is_and_taken_after_it(making: Making) -> None:
    next_is_made = threading.Event()

    def first() -> Part:
        assert next_is_made.wait(60)
        return part(0)

    def second() -> Part:
        next_is_made.set()
        return part(1)

    taken = making.take((0, 7), first, lambda: making.begin((0, 8), second))

    assert taken == part(0)
    assert making.take((0, 8), lambda: pytest.fail("begun twice"), lambda: None) == part(1)


def test_there_is_room_for_a_few_only(making: Making) -> None:
    held = threading.Event()
    for offset in range(AT_ONCE):
        assert making.room
        making.begin((0, offset), lambda: held.wait(60) and None)

    assert not making.room
    held.set()


def test_what_failed_is_begun_again_when_it_is_asked_for_again(making: Making) -> None:
    tries: list[int] = []

    def make() -> Part:
        tries.append(1)
        if len(tries) == 1:
            raise TimeoutError
        return part(0)

    making.begin((0, 1), make)
    with pytest.raises(TimeoutError):
        making.take((0, 1), make, lambda: None)

    assert making.take((0, 1), make, lambda: None) == part(0)


def test_what_was_let_go_is_begun_anew_by_whoever_asks_for_it(making: Making) -> None:
    making.begin((0, 1), lambda: part(5))

    making.forget()

    assert making.room
    assert making.take((0, 1), lambda: part(6), lambda: None) == part(6)


def test_whoever_waits_may_give_up(making: Making) -> None:
    held = threading.Event()

    def lost() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        making.take((0, 1), lambda: held.wait(60) and None, lost)
    held.set()


def test_what_is_let_go_while_it_is_waited_for_is_given_up(making: Making) -> None:
    held = threading.Event()

    with pytest.raises(GivenUp):
        making.take((0, 1), lambda: held.wait(60) and None, making.forget)
    held.set()
