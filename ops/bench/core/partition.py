"""One ledger partition in this process: the pure core over the lane's own store, in checkpoints as the lane makes them.

There is no Kafka: what the core sends to itself is applied next, erasure batches are counted and acknowledged at once.
Used by the parts beside it; `tests/unit/ops/bench/test_core.py` says what it promises.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.bench.noop_target import ack
from ops.bench.opening import opened
from ops.bench.targets.bare import Timing, timed
from schemas.batches import head_of
from schemas.bodies import decompress
from schemas.codec import full_codec
from schemas.rules import Rules
from schemas.topics import Topics
from streams.lane.overlay import Overlay, after
from streams.lane.rocks import LocalStores, Partition
from streams.ledger import keys
from streams.ledger.ledger import Ledger
from streams.ledger.rows import Segment
from streams.reducer import Entry, Send

TARGET = "noop"
DAY_MS = 86_400_000
_ROCKS_BYTES = 128 << 20  # as a ledger role has for all its partitions
_CHECKPOINT_BYTES = 8 << 20
_CHECKPOINT_ENTRIES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What some work took: by the clock, of this process's CPU, how many records it was, and in how many batches."""

    seconds: float
    cpu_seconds: float
    records: int
    batches: int


class CorePartition:
    """A partition under `directory`, with `rules` in force and no org."""

    def __init__(self, directory: Path, rules: Rules) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._topics, self._codec = Topics("bench"), full_codec()
        stores = LocalStores(budget_bytes=_ROCKS_BYTES, wipe_after_s=float("inf"), now=time.time)
        self._db = stores.open(directory)
        self._disk = Partition(self._db)
        self._overlay = Overlay(self._disk)
        self._ledger = Ledger(0, 1, self._topics, self._codec)
        self._own: deque[tuple[str, bytes]] = deque()
        self._offset = self._since = 0
        self._records = self._batches = 0
        said = {
            "version": rules.version,
            "hash": rules.hash,
            "code_version": rules.code_version,
            "body": rules.to_json(),
        }
        self.say("Rules", said)

    def open(self, org: str) -> None:
        """Open an org without policies of its own."""
        self.say("OrgOpen", opened(org))

    def frame(self, body: bytes, records: int) -> None:
        """Take in a frame as a gateway makes it; where it comes from is not told, so that it is never a replay."""
        self.say("Frame", {"sources": [], "records": records, "body": body})

    def tick(self, day: int) -> Spent:
        """Let `day` (since the epoch) begin, and do all that it makes due."""
        return self.say("Tick", {"now": day * DAY_MS, "approved": True})

    def say(self, name: str, record: Mapping[str, Any]) -> Spent:
        """Apply one entry and all that follows from it, down to the last acknowledgement, durably."""
        records, batches = self._records, self._batches
        with timed() as timing:
            self._own.append((self._topics.ledger, self._codec.encode(name, record)))
            while self._own:
                self._apply(*self._own.popleft())
            self._checkpoint()
        return _spent(timing, records=self._records - records, batches=self._batches - batches)

    def read_alone(self) -> Spent:
        """Get every segment out of the database and decompress it, and nothing else: what no search can do without."""
        records = 0
        with timed() as timing:
            for _, value in self._disk.range(keys.SEGMENT, after(keys.SEGMENT)):
                records += Segment.span(value)[0]
                decompress(Segment.body_of(value))
        return _spent(timing, records=records, batches=0)

    def disk_bytes(self) -> int:
        """Write all out and return the size of the files that hold the state; others are about to be removed."""
        self._db.flush()
        return sum(int(file["size"]) for file in self._db.live_files())

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _apply(self, topic: str, value: bytes) -> None:
        entry = Entry(topic=topic, partition=0, offset=self._offset, log_ms=0, value=value)
        self._offset += 1
        self._since += 1
        for send in self._ledger.apply(self._overlay, entry):
            self._pass_on(send)
        if self._since >= _CHECKPOINT_ENTRIES or self._overlay.size >= _CHECKPOINT_BYTES:
            self._checkpoint()

    def _pass_on(self, send: Send) -> None:
        if send.value is None:
            return
        if send.topic == self._topics.ledger:
            self._own.append((send.topic, send.value))
        elif send.topic == self._topics.erasures(TARGET) and self._codec.name_of(send.value) == "ErasureBatch":
            head, count = head_of(send.value)
            self._records += count
            self._batches += 1
            self._own.append((self._topics.acks, self._codec.encode("Ack", ack(head, count))))

    def _checkpoint(self) -> None:
        self._disk.write(self._overlay.pending, self._offset, time.time())
        self._overlay.clear()
        self._since = 0


def _spent(timing: Timing, *, records: int, batches: int) -> Spent:
    return Spent(seconds=timing.seconds, cpu_seconds=timing.cpu_seconds, records=records, batches=batches)
