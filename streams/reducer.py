"""The port between a pure core and the lane that runs it.

A core is a `Reducer`: it sees one partition's log, entry by entry, and a small ordered store. It returns what is to be
sent. It reads no clock, file, network or random number, so the same log always makes the same state and the same sends.
`streams.lane` runs a reducer under Faust with one Kafka transaction per checkpoint; the simulator in `tests/model`
runs the same reducer over a fake log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of one source partition, after the lane has checked its writer and sequence.

    `topic` is the full topic name, `log_ms` the broker's append time (ms since the epoch, UTC).
    """

    topic: str
    partition: int
    offset: int
    log_ms: int
    key: bytes | None = field(default=None, repr=False)
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One record to write in the checkpoint's transaction.

    `sequenced` adds the lane's own (writer, sequence) header, counted per destination partition, so that the
    receiving lane can tell a gap from a repeat. It needs an explicit `partition`. Our own roles go on from such a
    send, so its checkpoint is closed at once, unless it `can_wait`. One that is not sequenced waits for company, unless
    it is the `last` word on something that somebody follows.
    """

    topic: str
    partition: int
    key: bytes | None = field(default=None, repr=False)
    value: bytes | None = field(repr=False)
    sequenced: bool = False
    can_wait: bool = False
    last: bool = False


class Store(Protocol):
    """One partition's state, ordered by key. Writes are seen by later reads of the same reducer at once."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield rows whose key has `prefix` and is at least `start`, in key order.

        The caller may write while it scans; whether the scan shows such a write is not defined, so a caller that
        deletes what it reads must not depend on it.
        """
        ...


class Reducer(Protocol):
    """A pure core. Keys that start with a zero byte belong to the lane."""

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        """Fold `entry` into `store` and return what follows from it, in order.

        Raises `schemas.errors.Halt`: going on would break a promise; the lane drops the overlay and ends the process.
        """
        ...
