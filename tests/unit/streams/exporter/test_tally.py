"""What is told of a list: sums by target that do not depend on who wrote its parts, now and then and at its end."""

from __future__ import annotations

from collections.abc import Iterable

from streams.exporter.manifest import Part
from streams.exporter.tally import TELL_S, Place, Tally

PLACE = ("ab" * 16, 3)


def part(seq: int, target: str = "crm", *, last: bool = False, records: int = 10, missing: int = 0) -> Part:
    return Part(
        partition=3,
        seq=seq,
        last=last,
        category="messages",
        target=target,
        records=records,
        rows=records - missing,
        missing={"not_found": missing} if missing else {},
    )


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock, written: Iterable[Part] = ()) -> tuple[Tally, list[Place]]:
    asked: list[Place] = []

    def read(place: Place) -> Iterable[Part]:
        asked.append(place)
        return written

    return Tally(read, clock), asked


def test_a_list_is_told_of_at_first_then_now_and_then_and_at_its_end() -> None:
    clock = Clock()
    tally, asked = made(clock)
    told = []

    for seq in range(4):
        tally.begin(PLACE, seq)
        told.append(tally.add(PLACE, part(seq, "crm" if seq % 2 else "feed", missing=seq)))
        clock.now += TELL_S / 2
    tally.begin(PLACE, 4)
    end = tally.add(PLACE, part(4, "", last=True, records=0))

    assert [body and body["parts"] for body in told] == [1, None, 3, None]
    assert end == {
        "parts": 5,
        "targets": {
            "feed": {"records": 20, "rows": 18, "missing": 2},
            "crm": {"records": 20, "rows": 16, "missing": 4},
        },
    }
    assert asked == []  # what we began ourselves needs no reading


def test_what_somebody_else_wrote_before_counts_and_what_comes_again_counts_once() -> None:
    tally, asked = made(Clock(), [part(0), part(1), part(2, records=99)])

    tally.begin(PLACE, 2)
    tally.begin(PLACE, 2)  # given up, and begun again
    told = tally.add(PLACE, part(2))

    assert told == {"parts": 3, "targets": {"crm": {"records": 30, "rows": 30, "missing": 0}}}
    assert asked == [PLACE]
