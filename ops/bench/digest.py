"""What was erased, as one small value that does not depend on order.

Pure. The data set says with it what must be erased, each contender what was; `tests/unit/ops/bench/test_digest.py`
says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """How many records, and the sum and the XOR of their hashes (xxh64 of org, category and record id).

    The XOR alone would not see a record that is erased twice, the sum alone would rarely miss anything: together
    with the count they tell a repeat, a hole and a wrong record from each other's absence.
    """

    count: int = 0
    total: int = 0
    xor: int = 0

    def __add__(self, other: Digest) -> Digest:
        """Return the digest of both sets taken together."""
        return Digest(
            count=self.count + other.count, total=(self.total + other.total) & _MASK, xor=self.xor ^ other.xor
        )

    def __str__(self) -> str:
        return f"{self.count} records, sum {self.total:016x}, xor {self.xor:016x}"


def digest(rows: Iterable[tuple[bytes, bytes, bytes]]) -> Digest:
    """Return the digest of (org, category, record id), each UTF-8 and without a zero byte."""
    count = total = xor = 0
    hashed = xxhash.xxh64_intdigest
    for org, category, record_id in rows:
        value = hashed(org + b"\0" + category + b"\0" + record_id)
        count += 1
        total += value
        xor ^= value
    return Digest(count=count, total=total & _MASK, xor=xor)
