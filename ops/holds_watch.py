"""Which legal holds are in force, followed beside a runner; the view is a lease: too old, and nothing is erased.

    topic `holds` ─ a look a second ─▶ HoldsWatch.now ─▶ streams.runner.brake, and each request of an S3 target

A view is as old as the beginning of the look that made it, by the clock that has gone further: a process or a machine
that stood still finds its view too old, before it does anything. `tests/unit/ops/test_holds_watch.py` and
`tests/integration/test_holds_watch.py` say what it promises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from ebbtide.wire import Codec
from schemas.rules import Rules
from sinks.holding import HoldInForce, HoldsView, Place
from streams.runner.brake import ViewTooOld

LOOK_S: Final = 1.0
LEASE_S: Final = 30.0
AGAIN_S: Final = 10.0
FIRST_S: Final = 5.0
IN_FORCE: Final = "in_force"

log = logging.getLogger(__name__)

Table = Mapping[bytes, tuple[Place, bytes]]


class Following(Protocol):
    """What `ops.followed.Followed` gives."""

    @property
    def table(self) -> Table: ...

    @property
    def reached(self) -> Mapping[int, int]: ...

    def look(self) -> bool: ...

    def close(self) -> None: ...


def clocks() -> tuple[float, float]:
    """Return the seconds of the clock that never goes back, and of the one that goes on while a machine sleeps."""
    return time.monotonic(), time.time()


class HoldsWatch:
    """Looks at the holds in a thread of its own while it is entered; a `streams.runner.brake.Holds`."""

    def __init__(
        self,
        holds: Following,
        codec: Codec,
        rules: Callable[[], Rules | None],
        *,
        look_s: float = LOOK_S,
        lease_s: float = LEASE_S,
        clock: Callable[[], tuple[float, float]] = clocks,
    ) -> None:
        self._holds, self._codec, self._rules = holds, codec, rules
        self._look_s, self._lease_s, self._clock = look_s, lease_s, clock
        self._turn = threading.Condition()
        self._begun = self._seen = 0  # looks, numbered from 1: the newest that began, and that succeeded
        self._view: HoldsView | None = None
        self._as_of = (0.0, 0.0)
        self._under: Rules | None = None
        self._wanted, self._left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="holds", daemon=True)

    def now(self) -> HoldsView:
        """Return the newest view. Raises ViewTooOld beyond the lease."""
        with self._turn:
            if self._thread.is_alive():  # it has just begun: the first look takes a moment
                self._turn.wait_for(lambda: self._view is not None, FIRST_S)
            view, as_of = self._view, self._as_of
        if view is None:
            raise ViewTooOld("which legal holds are in force is not known yet: nothing is erased")
        age = max(now - then for now, then in zip(self._clock(), as_of, strict=True))
        if age > self._lease_s:
            raise ViewTooOld(
                f"the legal holds in force were looked at {age:.0f} s ago and could not be since: nothing is erased "
                f"by what is older than {self._lease_s:g} s; is Kafka well?"
            )
        return view

    def again(self) -> HoldsView:
        """Return a view that a look which begins now gives. Raises ViewTooOld."""
        with self._turn:
            awaited = self._begun + 1
            self._wanted.set()
            if not self._turn.wait_for(lambda: self._seen >= awaited, AGAIN_S):
                raise ViewTooOld(f"the legal holds in force could not be looked at within {AGAIN_S:g} s")
        return self.now()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._left.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._left.is_set():
            self._wanted.clear()
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - without this thread nothing is ever erased again
                log.warning("the legal holds could not be read", extra={"why": type(error).__name__})
            self._wanted.wait(self._look_s)
        self._holds.close()

    def _look(self) -> None:
        with self._turn:
            self._begun += 1
            number = self._begun
        as_of, rules = self._clock(), self._rules()
        changed = self._holds.look()
        with self._turn:
            if changed or self._view is None or rules != self._under:
                self._under = rules
                self._view = HoldsView(in_force(self._holds.table, self._codec, rules), dict(self._holds.reached))
            self._as_of, self._seen = as_of, number
            self._turn.notify_all()


def in_force(table: Table, codec: Codec, rules: Rules | None) -> list[HoldInForce]:
    """Return the holds in force that a runner can look at: not those of subjects, whom no batch names."""
    found = []
    for place, value in table.values():
        hold = codec.decode(value)[1]
        if hold["state"] != IN_FORCE or hold["subjects"]:
            continue
        found.append(
            HoldInForce(
                org=hold["org"],
                place=place,
                categories=_names(rules, frozenset(hold["categories"])),
                everyone=not hold["records"],
                records=frozenset(hold["records"]),
            )
        )
    return found


def _names(rules: Rules | None, categories: frozenset[str]) -> frozenset[str]:
    """Return categories with all below them and their aliases."""
    if rules is None or not categories:
        return categories
    below = {name for name in rules.categories if any(above.name in categories for above in rules.lineage(name))}
    return categories | below | {alias for alias, name in rules.aliases.items() if name in below}
