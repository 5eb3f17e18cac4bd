"""The file door: each request is known by what it asks for whom, and what cannot be sent is said with how to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import typer

from ops.cli.bulk import erase_many
from ops.cli.output import Exit
from ops.cli.subjects import BadSubjects
from ops.requests import NoAnswer, RequestDoor, Status
from schemas.codec import full_codec
from schemas.topics import Topics

PEOPLE = [f"secret-{n}" for n in range(2001)]


class Door(RequestDoor):
    """A door behind which requests are noted, and end as they are told to; what is known by its id ends as before."""

    def __init__(self, ends: Sequence[str] = (), breaks_at: int = -1) -> None:
        super().__init__(bootstrap="none", topics=Topics("t"), codec=full_codec(), signing_key=b"k" * 32)
        object.__setattr__(self, "ends", list(ends))
        object.__setattr__(self, "breaks_at", breaks_at)
        object.__setattr__(self, "sent", {})

    def send(self, kind: str, org: str, body: Mapping[str, Any] | None = None, **more: Any) -> str:
        if len(self.sent) == self.breaks_at:  # type: ignore[attr-defined]
            raise NoAnswer("the brokers do not answer")
        self.sent.setdefault(more["request_id"], more["subjects"])  # type: ignore[attr-defined]
        return str(more["request_id"])

    def watch(self, org: str, request_id: str, **_: Any) -> Status:
        state = self.ends[list(self.sent).index(request_id)]  # type: ignore[attr-defined]
        if state == "nobody":
            raise NoAnswer("nobody has answered")
        return {"request_id": request_id, "org": org, "kind": "erase", "state": state, "parts": [], "detail": "{}"}


def ask(door: Door, people: Sequence[str] = PEOPLE, body: Mapping[str, Any] | None = None, **more: Any) -> list[str]:
    given: dict[str, Any] = {"request_id": "ours", "by": "cli", "wait": False, "limit_s": 5.0, "as_json": True}
    erase_many(door, "acme", body or {"regime": "gdpr"}, people, **given | more)
    return list(door.sent)  # type: ignore[attr-defined]


def test_the_same_people_again_are_the_same_requests_and_other_people_never_are() -> None:
    first = ask(Door())

    assert [chosen[:10] for chosen in first] == ["ours-0001-", "ours-0002-", "ours-0003-"]
    assert ask(Door()) == first
    assert ask(Door(), body={"regime": "gdpr", "through": 7}) == first
    assert not {*ask(Door(), body={"regime": "ccpa"})} & {*first}
    changed = ask(Door(), [*PEOPLE[:-1], "somebody else"])
    assert changed[:2] == first[:2]
    assert changed[2] != first[2]


def test_a_subject_that_is_too_long_is_found_before_anything_is_sent() -> None:
    door = Door()

    with pytest.raises(BadSubjects, match="nothing was sent") as refused:
        ask(door, [*PEOPLE, "s" * 1025])

    assert door.sent == {}  # type: ignore[attr-defined]
    assert "ssss" not in str(refused.value)


def test_where_not_all_can_be_sent_it_says_how_many_are_and_how_to_go_on() -> None:
    with pytest.raises(NoAnswer, match=r"1 of 3 requests are sent and stand: go on with .* `--id [0-9a-f-]{36}`"):
        ask(Door(breaks_at=1), request_id="")


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (("completed", "completed", "completed"), None),
        (("completed", "completed_with_exceptions", "completed"), Exit.DIFFERS),
        (("nobody", "completed_with_exceptions", "completed"), Exit.UNAVAILABLE),
    ],
)
def test_the_exit_code_is_that_of_the_worst(ends: tuple[str, ...], code: int | None) -> None:
    if code is None:
        ask(Door(ends), wait=True)
    else:
        with pytest.raises(typer.Exit) as left:
            ask(Door(ends), wait=True)
        assert left.value.exit_code == code
