"""Parts in the making: while one is finished and committed, the next is read from its store.

    part n       read ──┬── last upload, second look ──▶ its turn: committed
    part n + 1          └── read ──┬── last upload, …        waits for its turn

Each is made in a thread of its own. They end in any order and are taken in that of their messages, so what is committed
is what would be without this; a kill leaves at most `AT_ONCE` parts begun. Only one reads at a time
(`streams.exporter.parts`): a store sees one reader. Used by `streams.exporter.run`;
`tests/unit/streams/exporter/test_making.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Final

from streams.exporter.manifest import Part

AT_ONCE: Final = 2
"""So many parts are in the making at once."""
_LOOK_S: Final = 0.05


class GivenUp(Exception):
    """What was begun is not ours any more, or the process is to stop."""


Place = tuple[int, int]
"""A message of `selections`: partition and offset."""
Make = Callable[[], Part | None]


class Making:
    """The parts of one exporter that are begun and not taken."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="export-part")
        self._begun: dict[Place, Future[Part | None]] = {}

    @property
    def room(self) -> bool:
        """Whether one more may be begun."""
        return len(self._begun) < AT_ONCE

    def begin(self, place: Place, make: Make) -> None:
        """Have `make` run, if it does not already."""
        if place not in self._begun:
            self._begun[place] = self._pool.submit(make)

    def take(self, place: Place, make: Make, meanwhile: Callable[[], None]) -> Part | None:
        """Return what `make` returns; `meanwhile` is called every now and then until it does.

        Raises what they raise, and GivenUp if `meanwhile` let go of it. What has failed is not there any more: asked
        again, it is begun again.
        """
        self.begin(place, make)
        while not (making := self._wanted(place)).done():
            meanwhile()
            wait_for([self._wanted(place)], _LOOK_S)
        del self._begun[place]
        return making.result()

    def _wanted(self, place: Place) -> Future[Part | None]:
        if place not in self._begun:
            raise GivenUp
        return self._begun[place]

    def forget(self) -> None:
        """Let go of all: nobody takes them. What runs ends by itself, by what its tick says."""
        for future in self._begun.values():
            future.cancel()
        self._begun.clear()

    def close(self) -> None:
        """Wait for what still runs."""
        self.forget()
        self._pool.shutdown()
