"""Looking again until what is seen is enough, or time is up. Used by all of `ops.demo` that waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def last_look(look: Callable[[], T], enough: Callable[[T], bool], *, limit_s: float, pause_s: float = 0.5) -> T:
    """Look every `pause_s` seconds until `enough` says yes, or `limit_s` seconds have passed; return the last look."""
    end = time.monotonic() + limit_s
    while True:
        seen = look()
        if enough(seen) or time.monotonic() > end:
            return seen
        time.sleep(pause_s)
