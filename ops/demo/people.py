"""Made-up people and their records: the same for the same seed, whatever the day.

Ages keep clear of every policy's edge by two days, so that a demo that runs over midnight has one right answer.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

DAY_S = 86_400

FIRST = ("Ada", "Ben", "Chloe", "Dara", "Emil", "Fay", "Goran", "Hana", "Ivo", "Jun", "Kaja", "Lars", "Mina", "Noor")
LAST = ("Abel", "Brandt", "Costa", "Dahl", "Ekker", "Frey", "Grau", "Holm", "Imhof", "Jensen", "Kral", "Lund", "Moor")

SHARES = {"messages": 0.4, "logs": 0.3, "content": 0.2, "media": 0.1}
"""Category to its share of all records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """One customer. `policy` holds what it set for itself: category to days; `contract_ended` in days ago, or None."""

    id: str
    name: str
    policy: dict[str, int]
    contract_ended: int | None


ORGS = (
    Org(id="acme", name="Acme Boats", policy={}, contract_ended=None),
    Org(id="globex", name="Globex Harbours", policy={"messages": 30, "logs": 90}, contract_ended=None),
    Org(id="umbra", name="Umbra Quays", policy={}, contract_ended=None),
    Org(id="initech", name="Initech Tides", policy={"messages": 365}, contract_ended=60),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of one store. Times are seconds since the epoch; `touched_s` is 0 where nobody used it since."""

    org: str
    category: str
    id: str = field(repr=False)
    user: str = field(repr=False)
    name: str = field(repr=False)
    created_s: int
    touched_s: int = 0


def make_records(count: int, *, now_s: int, seed: int = 7) -> Iterator[Record]:
    """Yield `count` records of all orgs and categories, created up to 500 days ago."""
    rng = random.Random(seed)  # noqa: S311 - made-up data, the same every time
    people = [
        (str(uuid.UUID(int=rng.getrandbits(128), version=4)), f"{first} {last}") for first in FIRST for last in LAST
    ]
    categories = list(SHARES)
    for _ in range(count):
        org = rng.choice(ORGS)
        category = rng.choices(categories, [SHARES[c] for c in categories])[0]
        user, name = rng.choice(people)
        created = _age(rng)
        touched = (
            rng.randrange(1, min(created, 170)) if category == "content" and created > 2 and rng.random() < 0.5 else 0
        )
        yield Record(
            org=org.id,
            category=category,
            id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            user=user,
            name=name,
            created_s=now_s - created * DAY_S - rng.randrange(DAY_S // 2),
            touched_s=now_s - touched * DAY_S if touched else 0,
        )


EDGES = (30, 90, 180, 365)


def _age(rng: random.Random) -> int:
    while True:
        days = rng.randrange(500)
        if all(abs(days - edge) > 2 for edge in EDGES):
            return days
