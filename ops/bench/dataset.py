"""The events that every contender reads: made once, from a seed, and the answer that each must reach.

Events come in the order of their time, as from live producers: `days` days, one after the other, over all orgs at
once; or, for a backfill, with their days in disorder. Record ids are random UUIDs or short numbers, a record has one
or two subjects of its org. `ops.bench.messages` makes messages of them, `ops.bench.shapes` names the shapes that are
measured; `tests/unit/ops/bench/test_dataset.py` decodes them with the public schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from ops.bench.answer import Answer
from ops.bench.block import CREATED, DAY_MS, Block
from ops.bench.digest import Digest

AS_OF_DAY = date(2025, 6, 1).toordinal() - date(1970, 1, 1).toordinal()
"""The day after the last event's, in days since the epoch: fixed, so that a run can be repeated anywhere."""

_BLOCK = 100_000
_UUID_LENGTH = 36
_SHORT_LENGTH = 9
_DASHES = (8, 13, 18, 23)
_ONE_SUBJECT = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """`share` of all records, kept for `period_days` after the day of creation."""

    share: float
    period_days: int


CATEGORIES: Mapping[str, Category] = {
    "sessions": Category(share=0.40, period_days=3),
    "messages": Category(share=0.25, period_days=4),
    "orders": Category(share=0.20, period_days=365),
    "invoices": Category(share=0.10, period_days=3650),
    "tickets": Category(share=0.05, period_days=6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much of what. With the default days, categories and sweeps 45 % is due in the end, 17 % at the warm-up sweep.

    `records`: how many events. `zipf`: exponent of the orgs' sizes, 0 for all alike. `largest`: the first org's share
    of all events, 0 where `zipf` decides. `touched`, `deleted`: shares of events that concern an earlier record;
    with touches every period runs from the last activity instead of the creation. `disorder`: no order of days.
    `sweeps`: how many days before `AS_OF_DAY` a first sweep is, which is not timed, and the one that is.
    """

    records: int
    orgs: int = 200
    days: int = 10
    partitions: int = 12
    seed: int = 7
    zipf: float = 1.0
    largest: float = 0.0
    touched: float = 0.0
    deleted: float = 0.0
    short_ids: bool = False
    disorder: bool = False
    sweeps: tuple[int, int] = (4, 0)

    @property
    def first_day(self) -> int:
        """The created day of the first record."""
        return AS_OF_DAY - self.days

    @property
    def warm_up_day(self) -> int:
        """The day of a first sweep that is not timed."""
        return AS_OF_DAY - self.sweeps[0]

    @property
    def as_of_day(self) -> int:
        """The day of the sweep that is timed."""
        return AS_OF_DAY - self.sweeps[1]

    @property
    def clock(self) -> str:
        """From what periods run, as a policy says it."""
        return "last_activity" if self.touched else "created"

    @property
    def id_length(self) -> int:
        """Bytes of a record id's text."""
        return _SHORT_LENGTH if self.short_ids else _UUID_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A topic full of events, and what must come of them.

    A record whose clock stands at day d and which is kept p days is due on day t if d + p < t: its last day has wholly
    passed. `due` has, by as-of day, the digest of all that is due by then. `first_day` is the created day of the
    oldest record. `records` counts events, `messages` what carries them, `kept` the records that exist in the end.
    """

    topic: str
    partitions: int
    records: int
    messages: int
    kept: int
    orgs: tuple[str, ...] = field(repr=False)
    period_days: Mapping[str, int]
    clock: str
    lookups: bool
    first_day: int
    as_of_day: int
    warm_up_day: int
    due: Mapping[int, Digest]


def org_names(shape: Shape) -> tuple[str, ...]:
    """Return the orgs' names, the largest first."""
    return tuple(f"org-{i:06d}" for i in range(shape.orgs))


def blocks(shape: Shape, answer: Answer) -> Iterator[Block]:
    """Yield all events of `shape`, in order, each told to `answer` first. The same shape yields the same events."""
    rng = np.random.default_rng(shape.seed)
    weights = _weights(shape)
    shares = np.array([c.share for c in CATEGORIES.values()])
    # An org's people are about a third of its records.
    crowd = np.maximum(20, weights * shape.records / 3)
    # What is touched or deleted was created in an earlier block: small shapes have small ones.
    size = min(_BLOCK, max(1, shape.records // 10)) if shape.touched or shape.deleted else _BLOCK
    for first in range(0, shape.records, size):
        n = min(size, shape.records - first)
        at = np.arange(first, first + n)
        if shape.disorder:
            at = rng.integers(0, shape.records, n)
        millis = shape.first_day * DAY_MS + (at * (shape.days * DAY_MS)) // shape.records
        org = rng.choice(shape.orgs, n, p=weights)
        category = rng.choice(len(shares), n, p=shares)
        ids = _numbers(first, n) if shape.short_ids else _uuids(rng, n)
        people = (rng.random((2, n)) * crowd[org]).astype(np.int64)
        two = (rng.random(n) >= _ONE_SUBJECT) & (people[0] != people[1])
        block = Block(
            kind=np.full(n, CREATED, np.int64),
            org=org,
            category=category,
            ids=ids,
            millis=millis,
            people=people,
            two=two,
        )
        if shape.touched or shape.deleted:
            block = answer.with_later_events(block, rng, touched=shape.touched, deleted=shape.deleted)
        answer.add(block)
        yield block


def _weights(shape: Shape) -> npt.NDArray[np.float64]:
    """Each org's share of all events."""
    weights = np.arange(1, shape.orgs + 1, dtype=np.float64) ** -shape.zipf
    weights /= weights.sum()
    if shape.largest and shape.orgs > 1:
        weights[0] = 0.0
        weights *= (1.0 - shape.largest) / weights.sum()
        weights[0] = shape.largest
    return weights


def _numbers(first: int, n: int) -> bytes:
    """Short ids: consecutive numbers."""
    return b"".join(b"%0*d" % (_SHORT_LENGTH, i) for i in range(first, first + n))


def _uuids(rng: np.random.Generator, n: int) -> bytes:
    """`n` random UUIDs (version 4) as text, one behind the other."""
    raw = np.frombuffer(rng.bytes(16 * n), dtype=np.uint8).reshape(n, 16).copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = np.full((n, _UUID_LENGTH), ord("-"), dtype=np.uint8)
    places = [i for i in range(_UUID_LENGTH) if i not in _DASHES]
    text[:, places[0::2]] = digits[raw >> 4]
    text[:, places[1::2]] = digits[raw & 0x0F]
    return text.tobytes()
