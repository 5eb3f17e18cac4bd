"""What a checkpoint has written so far, over what is on disk: the `streams.reducer.Store` that reducers see.

Writes stay in memory until their transaction has committed, so a crash leaves no state from the future. A scan merges
the overlay's keys with a RocksDB iterator as it goes. The overlay's keys are kept sorted only once somebody scans, and
a write during a scan costs the scan one bisection, not a sort.

Used by `streams.lane.lane`, proven by `tests/unit/streams/lane/test_overlay.py` against a plain dictionary.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Protocol

from schemas.errors import Halt


class Rows(Protocol):
    """What is on disk: `streams.lane.rocks.Partition`."""

    def get(self, key: bytes) -> bytes | None: ...

    def range(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Rows with first <= key < end (to the last one for None), in key order."""
        ...


class ReservedKey(Halt):
    """A reducer wrote a key that starts with a zero byte: those belong to the lane."""


def after(prefix: bytes) -> bytes | None:
    """The smallest key greater than all keys with `prefix`; None where there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


class Overlay:
    """One partition's pending writes over its `Rows`."""

    __slots__ = ("_fresh", "_keys", "_rows", "_shape", "pending", "size")

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.clear()

    def clear(self) -> None:
        """Forget all pending writes."""
        self.pending: dict[bytes, bytes | None] = {}
        self.size = 0
        self._keys: list[bytes] = []  # sorted, complete but for `_fresh`
        self._fresh: list[bytes] = []
        self._shape = 0  # grows with every change of `_keys`, so that an open scan looks its place up again

    def get(self, key: bytes) -> bytes | None:
        try:
            return self.pending[key]
        except KeyError:
            return self._rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._write(key, value, len(value))

    def delete(self, key: bytes) -> None:
        self._write(key, None, 0)

    def _write(self, key: bytes, value: bytes | None, size: int) -> None:
        if key[:1] in (b"", b"\0"):
            raise ReservedKey("a reducer wrote an empty key, or one that starts with a zero byte; those are the lane's")
        if key not in self.pending:
            self._fresh.append(key)
        self.pending[key] = value
        self.size += len(key) + size

    def _sorted(self) -> list[bytes]:
        if self._fresh:
            if len(self._fresh) * 8 < len(self._keys):
                for key in self._fresh:
                    insort(self._keys, key)
            else:
                self._keys += self._fresh
                self._keys.sort()
            self._fresh.clear()
            self._shape += 1
        return self._keys

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield live rows with `prefix`, from `start` on, in key order. The lane's own rows are never shown."""
        first = max(prefix, start, b"\1")
        ours, theirs = self._scan_pending(first, prefix), self._rows.range(first, after(prefix))
        mine, disk = next(ours, None), next(theirs, None)
        while mine is not None or disk is not None:
            if disk is None or (mine is not None and mine <= disk[0]):
                assert mine is not None
                if disk is not None and disk[0] == mine:
                    disk = next(theirs, None)
                value = self.pending[mine]
                if value is not None:
                    yield mine, value
                mine = next(ours, None)
            else:
                yield disk
                disk = next(theirs, None)

    def _scan_pending(self, first: bytes, prefix: bytes) -> Iterator[bytes]:
        keys, shape = self._sorted(), self._shape
        at = bisect_left(keys, first)
        while at < len(keys):
            key = keys[at]
            if not key.startswith(prefix):
                return
            yield key
            if shape == self._shape:
                at += 1
            else:
                at, shape = bisect_right(keys, key), self._shape
