"""A lane's local store in memory: what `streams.lane.rocks.Partition` is to the real lane's overlay."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from tests.model.broker import Rows


class Disk:
    """Rows in key order, and how many checkpoints of the changelog they hold."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.through = 0

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def range(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        at = bisect_left(self.keys, first)
        while at < len(self.keys) and (end is None or self.keys[at] < end):
            yield self.keys[at], self.rows[self.keys[at]]
            at += 1

    def load(self, rows: dict[bytes, bytes], through: int) -> None:
        """Fill an empty store from the compacted changelog."""
        self.rows, self.keys, self.through = dict(rows), sorted(rows), through

    def write(self, rows: Rows, through: int) -> None:
        """Write one checkpoint, all or nothing."""
        for key, value in rows.items():
            if value is None:
                if self.rows.pop(key, None) is not None:
                    del self.keys[bisect_left(self.keys, key)]
            else:
                if key not in self.rows:
                    insort(self.keys, key)
                self.rows[key] = value
        self.through = through

    def copy(self) -> Disk:
        other = Disk()
        other.rows, other.keys, other.through = dict(self.rows), list(self.keys), self.through
        return other
