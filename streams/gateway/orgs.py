"""What the gateway knows of orgs: each has a number, and under it lie its partition, its key and its place among all.

Worked out when an org is met for the first time. Nothing is known of names that no org can have: they take the number
of the empty name, and `streams.gateway.checks` refuses their events by their lengths. Never state: all is a function of
names, routes and the master key. `tests/unit/streams/gateway/test_orgs.py` says what it promises.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.known import Known
from schemas.names import Names
from schemas.ragged import Bytes, Rows, Words
from schemas.subjects import MAX_ORG_BYTES, SubjectKeys
from streams.gateway.events import Slices, control
from streams.gateway.routing import SPREAD, Routes

_MOST: Final = 1 << 18
_SHARE: Final = 4
"""Orgs of a pack are ranked among all that are known where these are no more than so many times as many."""


class Orgs:
    """Orgs by number. Numbers are good until `numbers` is asked again."""

    def __init__(self, routes: Routes, keys: SubjectKeys) -> None:
        self._routes, self._subjects = routes, keys
        self._known = Known(_MOST)
        self._generation = -1
        self._begin()

    def _begin(self) -> None:
        self._generation = self._known.generation
        self._places: Rows = np.zeros(0, np.int64)
        self._keys: Words = np.zeros((0, 2), np.uint64)
        self._control: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._ranks: Rows = np.zeros(0, np.int64)
        self._learnt = True

    def numbers(self, buffer: Bytes, orgs: Slices) -> Rows:
        """Return the number of each org, given as slices of `buffer`, which is padded."""
        lengths = np.where(orgs.lengths > MAX_ORG_BYTES, 0, orgs.lengths)
        numbers = self._known.numbers(Names(buffer, orgs.starts, lengths))
        if self._generation != self._known.generation:
            self._begin()
        self._learnt = len(self._places) < len(self._known)
        if self._learnt:
            self._learn(self._known.names.take(np.arange(len(self._places), len(self._known))))
        return numbers

    def _learn(self, new: Names) -> None:
        self._places = np.concatenate((self._places, self._routes.first(new)))
        self._keys = np.concatenate((self._keys, self._subjects.of_all(new.pieces())))
        flags = control(new.buffer, Slices(new.starts, new.lengths))
        self._control = np.concatenate((self._control, flags))

    def names(self, numbers: Rows) -> Names:
        """Return the names of orgs, each of which is named once."""
        return self._known.named(numbers)

    def places(self, numbers: Rows) -> Rows:
        """Return the one partition of each org, SPREAD where it has, or had, several shards."""
        places = self._places[numbers]
        spread = self._known.find(self._routes.spread_orgs())
        if len(spread):
            several = np.zeros(len(self._known), np.bool_)
            several[spread[spread >= 0]] = True
            places[several[numbers]] = SPREAD
        return places

    def keys(self, numbers: Rows) -> Words:
        """Return the key of each org for references of its subjects, a row of two numbers each."""
        return self._keys[numbers]

    def have_control(self, numbers: Rows) -> NDArray[np.bool_]:
        """Tell whose name holds a control character (C0 or DEL)."""
        return self._control[numbers]

    def ranks(self, numbers: Rows) -> Rows:
        """Return numbers that are in the order of the orgs' names, each of which is named once.

        All that are known are ranked together, and once, where that pays.
        """
        if len(self._ranks) < len(self._known):
            if self._learnt or len(self._known) > _SHARE * len(numbers):
                return self.names(numbers).ranks()
            self._ranks = self._known.names.ranks()
        return self._ranks[numbers]
