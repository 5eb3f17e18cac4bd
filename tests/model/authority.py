"""Who orders holds and erasures: at random, of people and of whole orgs, some before their org is open, some twice.

Part of the world; `tests.model.coordinator` writes what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.model.coordinator import Coordinator
from tests.model.facts import PEOPLE, EraseSaid, HoldSaid, ReleaseSaid, subjects_of

DAY_MS = 86_400_000
MOST_HOLDS = 3


class Authority:
    """It draws from a seed of its own."""

    def __init__(self, seed: int, coordinator: Coordinator, categories: Sequence[str]) -> None:
        self._random = Random(seed)
        self._coordinator = coordinator
        self._categories = list(categories)
        self.holds: dict[str, dict[str, HoldSaid]] = {}
        self.requests: dict[str, list[EraseSaid]] = {}
        self._made = 0

    def work(self, org: str, epoch: int, shards: list[int], made: int, on_way: list[str], now_ms: int) -> None:
        """Let a day come at which something may be ordered for an org, often of what is `on_way` to be erased.

        `made`: how many records the producers have made so far.
        """
        random = self._random
        standing = self.holds.setdefault(org, {})
        if len(standing) < MOST_HOLDS and random.random() < 0.03:
            self.place(self._hold(org, epoch, on_way or [f"r{made - n}" for n in range(200)]), shards, now_ms)
        if standing and random.random() < 0.16:
            self.release(ReleaseSaid(org, epoch, random.choice(sorted(standing))), shards, now_ms)
        if random.random() < 0.025:
            self.erase(self._request(org, epoch, on_way, now_ms), shards, now_ms)
        if random.random() < 0.03:
            self.say_again(org, epoch, shards, now_ms)

    def interrupt(self, org: str, epoch: int, shards: list[int], on_way: list[str], now_ms: int) -> None:
        """Order something in the middle of the work, of what is on its way to be erased."""
        standing = self.holds.setdefault(org, {})
        if self._random.random() < 0.3:
            self.erase(self._request(org, epoch, on_way, now_ms), shards, now_ms)
        elif len(standing) < MOST_HOLDS:
            self.place(self._hold(org, epoch, on_way), shards, now_ms)
        else:
            self.release(ReleaseSaid(org, epoch, self._random.choice(sorted(standing))), shards, now_ms)

    def place(self, said: HoldSaid, shards: list[int], now_ms: int) -> None:
        self.holds.setdefault(said.org, {})[said.hold] = said
        self._coordinator.hold(said, shards, now_ms)

    def release(self, said: ReleaseSaid, shards: list[int], now_ms: int) -> None:
        self.holds[said.org].pop(said.hold)
        self._coordinator.release(said, shards, now_ms)

    def erase(self, said: EraseSaid, shards: list[int], now_ms: int) -> None:
        self.requests.setdefault(said.org, []).append(said)
        self._coordinator.erase(said, shards, now_ms)

    def say_again(self, org: str, epoch: int, shards: list[int], now_ms: int) -> None:
        """Say what stands once more, as a coordinator does that does not know whether it was heard."""
        for hold in list(self.holds.get(org, {}).values())[:1]:
            self._coordinator.hold(replace(hold, epoch=epoch), shards, now_ms)
        for said in self.requests.get(org, [])[-1:]:
            self._coordinator.erase(replace(said, epoch=epoch), shards, now_ms)

    def grown(self, org: str, epoch: int, old: list[int], shards: list[int], now_ms: int) -> None:
        """Tell new shards of an org what stands, before any record comes there."""
        for hold in self.holds.get(org, {}).values():
            self._coordinator.hold(replace(hold, epoch=epoch), shards, now_ms, but=old)
        for said in self.requests.get(org, []):
            self._coordinator.erase(replace(said, epoch=epoch), shards, now_ms, but=old)

    def _name(self, what: str) -> str:
        self._made += 1
        return f"{what}{self._made}"

    def _some(self, most: int) -> tuple[str, ...]:
        return tuple(sorted(self._random.sample(self._categories, self._random.randint(0, most))))

    def _people(self, records: list[str]) -> tuple[int, ...]:
        chosen = self._random.sample(PEOPLE, self._random.randint(1, 2))
        return tuple(sorted({*chosen, *(s for record in records[:1] for s in subjects_of(record))}))

    def _hold(self, org: str, epoch: int, records: list[str]) -> HoldSaid:
        random = self._random
        subjects: tuple[int, ...] = ()
        named: tuple[str, ...] = ()
        categories = self._some(2)
        kind = random.random()
        if kind < 0.4:
            subjects = self._people(records)
        if 0.3 < kind < 0.6:
            named = tuple(sorted(random.sample(records, min(5, len(records)))))
        elif kind > 0.8:
            categories = ()
        return HoldSaid(org, epoch, self._name("hold"), categories, subjects, named, random.choice((0, 0, 2, 8)))

    def _request(self, org: str, epoch: int, records: list[str], now_ms: int) -> EraseSaid:
        random = self._random
        everyone = random.random() < 0.2
        people = () if everyone else self._people(records)
        categories = self._some(2) if random.random() < 0.5 else ()
        through = now_ms - random.choice((0, 0, 0, 1, 5, 20)) * DAY_MS
        return EraseSaid(org, epoch, self._name("erase"), everyone, people, categories, through)
