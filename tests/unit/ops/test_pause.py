"""Targets may work only when it is known that they may: no rules, unreadable and foreign ones never open them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from ops.pause import PauseWatch
from ops.rules_topic import RulesNotSigned
from schemas.errors import Retry
from schemas.rules import BadRules, Rules

RULES = Rules(version=1)
LIMIT_S = 30.0


class Away(Retry):
    """Nothing can be read."""


def watched(first: Callable[[], Rules | None], second: Callable[[], Rules | None]) -> list[bool]:
    """Let a watch look, first in one way and then in the other; return whether targets may work after each."""
    looks, seen = [first, second], threading.Event()
    found: list[bool] = []

    def look() -> Rules | None:
        if len(looks) == 1:
            found.append(watch.may_work())  # what came of the first look
        if not looks:
            found.append(watch.may_work())
            seen.set()
            return RULES
        return looks.pop(0)()

    watch = PauseWatch(look, told=lambda _: None, stop=threading.Event(), look_s=0.01)
    with watch:
        assert seen.wait(LIMIT_S)
    return found[:2]


def failing(error: Exception) -> Callable[[], Rules | None]:
    def look() -> Rules | None:
        raise error

    return look


@pytest.mark.parametrize(
    "look",
    [lambda: None, *map(failing, (Away(), BadRules("x"), RulesNotSigned("x"), TimeoutError(), KeyError("x")))],
    ids=["none", *"abcde"],
)
def test_nothing_is_open_before_the_rules_are_known_and_what_they_said_last_holds(
    look: Callable[[], Rules | None],
) -> None:
    assert watched(look, lambda: RULES) == [False, True]
    assert watched(lambda: RULES, look) == [True, True]
    assert watched(lambda: replace(RULES, paused=True), look) == [False, False]
