"""A view of the holds is a lease: what is older than it, by either clock, lets nothing be erased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ops.holds_watch import HoldsWatch, Table, in_force
from schemas.codec import full_codec
from schemas.errors import Retry
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules
from sinks.holding import HoldsView, Place
from streams.runner.brake import ViewTooOld

CODEC = full_codec()


class Topic:
    """The topic of holds; while it is `stuck` looks fail."""

    def __init__(self, table: Table | None = None) -> None:
        self.table: Table = table or {}
        self.reached: Mapping[int, int] = {0: 9}
        self.stuck = False
        self.error: Exception = Retry("no broker")

    def look(self) -> bool:
        if self.stuck:
            raise self.error
        return True

    def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.monotonic, self.wall = 1000.0, 50_000.0

    def __call__(self) -> tuple[float, float]:
        return self.monotonic, self.wall


def hold(**changes: Any) -> bytes:
    said: dict[str, Any] = {"org": "acme", "hold_id": "h", "state": "in_force", "categories": [], "subjects": b""}
    said |= {"records": [], "grace_days": 0, "request_id": "r", "placed_at": 1, "at": 2}
    return CODEC.encode("HoldState", said | changes)


def watched(topic: Topic, clock: Clock) -> HoldsWatch:
    return HoldsWatch(topic, CODEC, lambda: None, look_s=0.01, lease_s=30.0, clock=clock)


@pytest.mark.parametrize("clock_that_went", ["monotonic", "wall"])
def test_a_view_beyond_its_lease_is_no_view(clock_that_went: str) -> None:
    topic, clock = Topic(), Clock()
    watch = watched(topic, clock)
    with watch:
        watch.again()
        topic.stuck = True
        fresh = watch.now()

        setattr(clock, clock_that_went, getattr(clock, clock_that_went) + 31.0)

        with pytest.raises(ViewTooOld, match="31 s ago"):
            watch.now()
    assert fresh == HoldsView([], {0: 9})


@pytest.mark.parametrize("error", [Retry("x"), TimeoutError(), ValueError("x")], ids=lambda e: type(e).__name__)
def test_whatever_a_look_ends_with_there_is_another_one(error: Exception) -> None:
    topic = Topic()
    topic.error, topic.stuck = error, True
    watch = watched(topic, Clock())
    with watch:
        with pytest.raises(ViewTooOld):
            watch.now()
        topic.stuck = False

        assert watch.again() == HoldsView([], {0: 9})


def test_before_the_first_look_nothing_is_known() -> None:
    with pytest.raises(ViewTooOld, match="not known yet"):
        watched(Topic(), Clock()).now()


def test_again_is_what_a_look_gives_that_begins_afterwards() -> None:
    topic = Topic({b"acme/h": (Place(0, 1), hold())})
    watch = watched(topic, Clock())
    with watch:
        before = watch.again()
        topic.table = {}

        after = watch.again()

    assert (len(before.holds), len(after.holds)) == (1, 0)


def category(name: str, parent: str | None = None) -> CategoryRules:
    return CategoryRules(name=name, parent=parent, targets=("crm",), default=Setting(category=name))


RULES = Rules(
    version=1,
    categories={"chat": category("chat"), "messages": category("messages", "chat"), "logs": category("logs")},
    aliases={"posts": "messages"},
)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        pytest.param({"state": "requested"}, 0, id="requested"),
        pytest.param({"state": "released"}, 0, id="released"),
        pytest.param({"subjects": bytes(8)}, 0, id="of subjects"),
        pytest.param({}, 1, id="of everyone"),
        pytest.param({"records": ["a"]}, 1, id="of a record"),
    ],
)
def test_what_is_in_force_and_names_no_subjects_is_seen(said: dict[str, Any], seen: int) -> None:
    assert len(in_force({b"acme/h": (Place(0, 1), hold(**said))}, CODEC, RULES)) == seen


def test_a_category_is_held_with_those_below_it_and_their_other_names() -> None:
    (found,) = in_force({b"acme/h": (Place(0, 1), hold(categories=["chat"]))}, CODEC, RULES)

    assert found.categories == {"chat", "messages", "posts"}
