"""The keys of a coordinator partition's rows: what is scanned together lies together.

No org has a control character and no id a zero byte, so a zero byte parts them. Times are 8 bytes, big-endian, so that
the earliest comes first. Used by all of `streams.coordinator`.
"""

from __future__ import annotations

from typing import Final

RULES: Final = b"R"
CLOCK: Final = b"c"
STATS: Final = b"n"
ORG: Final = b"o"
JOB: Final = b"j"
ANSWER: Final = b"a"
HOLD: Final = b"h"
ERASURE: Final = b"e"
SAME: Final = b"s"
"""Which erasure is under way of the same people and categories: an org's, by what it concerns."""
HIDING: Final = b"v"
RESTRICTION: Final = b"x"
BRAKE: Final = b"b"
"""What is braked: an org's, by category."""
WAITING: Final = b"p"
"""Policy jobs that wait for their shards, by policy version."""
TIMER: Final = b"t"
DEADLINE: Final = b"d"
"""Jobs that are not done, by their deadline."""
CATCH_UP: Final = b"u"
"""Orgs of which new shards have not been sent everything yet."""


def org(name: str) -> bytes:
    return ORG + name.encode()


def of(kind: bytes, name: str, item: str = "") -> bytes:
    """Return the key of one item of an org, or without one the prefix of all of them."""
    return kind + name.encode() + b"\0" + item.encode()


def answer(name: str, item: str, partition: int | None = None) -> bytes:
    """Return the key of one partition's newest answer to a job, or without one the prefix of all of them."""
    tail = b"" if partition is None else partition.to_bytes(2, "big")
    return of(ANSWER, name, item) + b"\0" + tail


def waiting(name: str, version: int | None = None) -> bytes:
    return of(WAITING, name) + (b"" if version is None else version.to_bytes(4, "big"))


def timer(at_ms: int, what: str, name: str, item: str) -> bytes:
    """Return the key of a timer. `what` is one letter of `streams.coordinator.timers`."""
    return TIMER + at_ms.to_bytes(8, "big") + what.encode() + name.encode() + b"\0" + item.encode()


def read_timer(key: bytes) -> tuple[int, str, str, str]:
    """Return time, letter, org and item of a timer's key."""
    name, _, item = key[10:].partition(b"\0")
    return int.from_bytes(key[1:9], "big"), chr(key[9]), name.decode(), item.decode()


def deadline(at_ms: int, name: str, item: str) -> bytes:
    return DEADLINE + at_ms.to_bytes(8, "big") + name.encode() + b"\0" + item.encode()
