"""The oracle's part for legal holds and erasures: who is held, and what a request makes due, record by record.

Plain values in, no code shared with the ledger. Used by `tests.model.history`; `tests.model.order_witness` holds the
ledger's answers against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.facts import EraseSaid, HoldSaid, ReleaseSaid
from tests.model.known import Id
from tests.model.periods import Kind

UNKNOWN = 1 << 40


@dataclass(slots=True)
class Held:
    """One hold. `ends`: the first day on which it holds no longer, None: it is not released."""

    said: HoldSaid
    ends: int | None = None


def names_of(kinds: dict[str, Kind], category: str) -> set[str]:
    """Return a category's name and those above it."""
    found = {category}
    while category in kinds and kinds[category].parent:
        category = kinds[category].parent
        found.add(category)
    return found


class Orders:
    """All holds and requests of one partition."""

    def __init__(self) -> None:
        self.holds: dict[tuple[str, str], Held] = {}
        self.requests: dict[tuple[str, str], EraseSaid] = {}
        self._concerning: dict[tuple[str, str, tuple[int, ...]], list[EraseSaid]] = {}

    def place(self, said: HoldSaid, today: int) -> bool:
        """Take in a hold; tell whether it is a new one."""
        old = self.holds.get((said.org, said.hold))
        if old is not None and (old.ends is None or today < old.ends):
            return False
        self.holds[said.org, said.hold] = Held(said)
        return True

    def release(self, said: ReleaseSaid, today: int) -> None:
        hold = self.holds.get((said.org, said.hold))
        if hold is not None and hold.ends is None:
            hold.ends = today + hold.said.grace if today >= 0 else UNKNOWN

    def ends(self, order: tuple[str, str], today: int) -> int:
        """Return on which day a released hold ends; of one released before any day was known, it counts from today."""
        hold = self.holds[order]
        assert hold.ends is not None
        if hold.ends == UNKNOWN:
            hold.ends = today + hold.said.grace
        return hold.ends

    def erase(self, said: EraseSaid) -> bool:
        """Take in a request; tell whether it is a new one."""
        self._concerning.clear()
        return self.requests.setdefault((said.org, said.request), said) is said

    def standing(self, org: str, today: int) -> Iterator[Held]:
        """Yield the holds that hold on a day."""
        for (name, _), hold in self.holds.items():
            if name == org and (hold.ends is None or today < hold.ends):
                yield hold

    def is_held(self, kinds: dict[str, Kind], key: Id, subjects: tuple[int, ...], today: int) -> bool:
        return any(holds(hold.said, kinds, key, subjects) for hold in self.standing(key[0], today))

    def concerning(self, kinds: dict[str, Kind], key: Id, subjects: tuple[int, ...]) -> list[EraseSaid]:
        """Return the requests that concern a record, were it old enough. What a category is part of never changes."""
        org, category, _ = key
        whose = (org, category, subjects)
        if whose not in self._concerning:
            names = names_of(kinds, category)
            self._concerning[whose] = [
                said
                for said in self.requests.values()
                if said.org == org
                and (said.everyone or set(said.subjects) & set(subjects))
                and (not said.categories or set(said.categories) & names)
            ]
        return self._concerning[whose]


def holds(said: HoldSaid, kinds: dict[str, Kind], key: Id, subjects: tuple[int, ...]) -> bool:
    """Whether a hold concerns a record."""
    if said.org != key[0] or (said.categories and not set(said.categories) & names_of(kinds, key[1])):
        return False
    everyone = not said.subjects and not said.records
    return everyone or key[2] in said.records or bool(set(said.subjects) & set(subjects))
