"""An ordered store in memory: the fake of the lane's table, for the core's unit tests and the simulator.

It keeps `streams.reducer.Store`'s promises and no more. Rows are read ahead in small chunks, so code that
leans on seeing (or not seeing) its own writes while it scans fails here as it would on the lane's overlay.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator


class MemoryStore:
    """Rows in key order. `rows()` gives them all, for comparing two stores byte for byte."""

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self._rows: dict[bytes, bytes] = dict(rows or {})
        self._keys: list[bytes] = sorted(self._rows)

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            raise TypeError("a store holds bytes under bytes")
        if key not in self._rows:
            insort(self._keys, key)
        self._rows[key] = value

    def delete(self, key: bytes) -> None:
        if self._rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        at = bisect_left(self._keys, max(prefix, start))
        seen: list[tuple[bytes, bytes]] = []
        ahead = 1
        while at < len(self._keys) and self._keys[at].startswith(prefix):
            key = self._keys[at]
            seen.append((key, self._rows[key]))
            at += 1
            if len(seen) == ahead:
                yield from seen
                ahead = min(4 * ahead, _CHUNK)
                # Whether rows written meanwhile are seen is not defined; go on from the last key.
                at = bisect_left(self._keys, seen[-1][0] + b"\0")
                seen = []
        yield from seen

    def rows(self) -> dict[bytes, bytes]:
        """Return a copy of all rows, in key order."""
        return {key: self._rows[key] for key in self._keys}

    def copy(self) -> MemoryStore:
        """Return an independent store with the same rows."""
        return MemoryStore(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


_CHUNK = 64
"""Rows a scan reads at a time at most: it begins with one, since most scans take the first few only."""
