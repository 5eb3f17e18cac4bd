"""Entries that wait for their lane, bounded by bytes: a frame may have a megabyte, a tick forty bytes.

One agent puts, one lane takes, both in the event loop. Proven by `tests/unit/streams/lane/test_inbox.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

_RECORD_BYTES = 400  # what a record costs besides its value


@dataclass(frozen=True, slots=True)
class Record:
    """One source record as it came from the consumer."""

    topic: str
    offset: int
    log_ms: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: tuple[tuple[str, bytes], ...]

    @property
    def size(self) -> int:
        return _RECORD_BYTES + len(self.value or b"")


class Inbox:
    """A queue bounded by bytes, but never too full for a single record."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._closed = False
        self._woken = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    async def put(self, record: Record) -> None:
        """Wait for room, then add. After `close` the record is dropped."""
        while not self._closed and self._records and self._bytes + record.size > self._limit:
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            return
        self._records.append(record)
        self._bytes += record.size
        self._changed.set()

    def take(self) -> Record | None:
        """The next record, or None when there is none now."""
        if not self._records:
            return None
        record = self._records.popleft()
        self._bytes -= record.size
        self._changed.set()
        return record

    async def wait(self) -> bool:
        """Wait until there is a record, or until woken; False once closed."""
        while not self._records and not self._closed and not self._woken:
            self._changed.clear()
            await self._changed.wait()
        self._woken = False
        return not self._closed

    async def wait_for(self, seconds: float) -> None:
        """Wait until there is a record, it is closed or woken, but no longer than `seconds`."""
        self._changed.clear()
        if not self._records and not self._closed and not self._woken:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    def wake(self) -> None:
        """Let who waits go on without a record."""
        self._woken = True
        self._changed.set()

    def close(self) -> None:
        """Drop everything, and free who waits."""
        self._closed = True
        self._records.clear()
        self._bytes = 0
        self._changed.set()
