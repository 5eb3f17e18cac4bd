"""The events that every contender reads: made once, from a seed, and the answer that each must reach.

Events come in the order of their time, as from live producers: `days` days, one after the other, over all orgs at
once. Orgs are Zipf, record ids are random UUIDs, a record has one or two subjects of its org. `ops.bench.load`
writes them to a topic; `tests/unit/ops/bench/test_dataset.py` decodes them with the public schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from ebbtide.wire import HEADER, PUBLIC_IDS
from ops.bench.digest import Digest, digest

DAY_MS = 86_400_000
AS_OF_DAY = date(2025, 6, 1).toordinal() - date(1970, 1, 1).toordinal()
"""The day of the sweep, in days since the epoch: fixed, so that a run can be repeated anywhere."""

_BLOCK = 100_000
_UUID_LENGTH = 36
_DASHES = (8, 13, 18, 23)


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
    """How much of what. With the default days and categories 45 % is due in the end, 17 % at the warm-up sweep."""

    records: int
    orgs: int = 200
    days: int = 10
    partitions: int = 12
    seed: int = 7

    @property
    def first_day(self) -> int:
        """The created day of the first record."""
        return AS_OF_DAY - self.days

    @property
    def warm_up_day(self) -> int:
        """The day of a first sweep that is not timed."""
        return AS_OF_DAY - 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A topic full of events, and what must come of them.

    A record created on day d and kept p days is due on day t if d + p < t: its last day has wholly passed. `due` has,
    by as-of day, the digest of all that is due by then. `first_day` is the created day of the first record.
    """

    topic: str
    partitions: int
    records: int
    orgs: tuple[str, ...]
    period_days: Mapping[str, int]
    first_day: int
    as_of_day: int
    warm_up_day: int
    due: Mapping[int, Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of events: `org[i]` indexes `names`, `values` are whole messages."""

    org: list[int]
    values: list[bytes] = field(repr=False)
    due: Mapping[int, Digest]


def org_names(shape: Shape) -> tuple[str, ...]:
    """Return the orgs' names, the largest first."""
    return tuple(f"org-{i:05d}" for i in range(shape.orgs))


def blocks(shape: Shape) -> Iterator[Block]:
    """Yield all events of `shape`, in order. The same shape yields the same bytes."""
    rng = np.random.default_rng(shape.seed)
    weights = 1.0 / np.arange(1, shape.orgs + 1)
    weights /= weights.sum()
    shares = np.array([c.share for c in CATEGORIES.values()])
    periods = np.array([c.period_days for c in CATEGORIES.values()])
    names = [name.encode() for name in org_names(shape)]
    categories = [name.encode() for name in CATEGORIES]
    heads = [[_head(org, category) for category in categories] for org in names]
    tail = bytes(5) + _text(b"bench")
    for first in range(0, shape.records, _BLOCK):
        n = min(_BLOCK, shape.records - first)
        org = rng.choice(shape.orgs, n, p=weights)
        category = rng.choice(len(categories), n, p=shares)
        ids = _uuids(rng, n)
        millis = shape.first_day * DAY_MS + (np.arange(first, first + n) * (shape.days * DAY_MS)) // shape.records
        times = _zigzag6(millis)
        # An org's people are about a third of its records.
        people = np.maximum(20, weights[org] * shape.records / 3)
        who = (rng.random((2, n)) * people).astype(np.int64)
        two = rng.random(n) < 0.3
        rows = zip(org.tolist(), category.tolist(), who[0].tolist(), who[1].tolist(), two.tolist(), strict=True)
        values = [
            heads[o][c]
            + ids[i * _UUID_LENGTH : (i + 1) * _UUID_LENGTH]
            + (b"\x04\x16u%010d\x16u%010d\0" % (a, b) if second and a != b else b"\x02\x16u%010d\0" % a)
            + times[i * 6 : i * 6 + 6]
            + tail
            for i, (o, c, a, b, second) in enumerate(rows)
        ]
        day = millis // DAY_MS
        due = {}
        for as_of in (shape.warm_up_day, AS_OF_DAY):
            chosen = np.flatnonzero(day + periods[category] < as_of).tolist()
            due[as_of] = digest(
                (names[org[i]], categories[category[i]], ids[i * _UUID_LENGTH : (i + 1) * _UUID_LENGTH]) for i in chosen
            )
        yield Block(org=org.tolist(), values=values, due=due)


def _text(data: bytes) -> bytes:
    """An Avro string of fewer than 64 bytes."""
    return bytes([2 * len(data)]) + data


def _head(org: bytes, category: bytes) -> bytes:
    """All of a message up to its record id: header, kind `created`, org, category, the id's length."""
    created = b"\0"
    wire = HEADER.pack(0, PUBLIC_IDS["LifecycleEvent"])
    return wire + created + _text(org) + _text(category) + bytes([2 * _UUID_LENGTH])


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


def _zigzag6(millis: npt.NDArray[np.int64]) -> bytes:
    """Avro longs of six bytes each, which holds times from 1970-07 to 2039."""
    zigzag = millis.astype(np.uint64) * np.uint64(2)
    assert int(zigzag.min()) >= 1 << 35
    assert int(zigzag.max()) < 1 << 42
    out = np.empty((len(millis), 6), dtype=np.uint8)
    for i in range(6):
        out[:, i] = (zigzag >> np.uint64(7 * i)).astype(np.uint8) & 0x7F
        if i < 5:
            out[:, i] |= 0x80
    return out.tobytes()
