"""A small reducer whose every output depends on all of its state, and the model that checks what it did.

Every entry moves a counter, a chain of digests over the partition and a row per key; rows are deleted and scanned
too. Each output says which entry it answers and the state after it, so a reader of the outputs alone can fold the
sources again, in the order in which the lane took them, and find any loss, repeat, swap or wrong state.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.reducer import Entry, Send, Store

STEP_EVERY = 40  # entries per self-sent step
DROP_AT = 7  # a key's row is deleted when its count gets here
SCAN_EVERY = 16

_TOTAL = struct.Struct(">Q32s")
_OUT = struct.Struct(">BQQQ32s")


def source_names(prefix: str) -> tuple[str, str]:
    return f"{prefix}-log", f"{prefix}-acks"


@dataclass(frozen=True, slots=True)
class Out:
    """One output: it answers `offset` of source `source`; `count` and `chain` are the partition's after it."""

    source: int
    offset: int
    count: int
    scanned: int
    chain: bytes

    def encode(self) -> bytes:
        return _OUT.pack(self.source, self.offset, self.count, self.scanned, self.chain)

    @classmethod
    def decode(cls, value: bytes) -> Out:
        return cls(*_OUT.unpack(value))


@dataclass(slots=True)
class Toy:
    """The reducer of one partition. `sources` are the log and the acks topic, `out` where outputs go."""

    sources: Sequence[str]
    out: str

    def apply(self, store: Store, entry: Entry) -> Sequence[Send]:
        source = self.sources.index(entry.topic)
        total = store.get(b"total")
        count, chain = _TOTAL.unpack(total) if total else (0, bytes(32))
        key = b"k:" + (entry.key or b"")
        row = store.get(key)
        seen = (row[0] if row else 0) + 1
        count += 1
        chain = hashlib.sha256(
            chain + bytes([source, seen]) + struct.pack(">Q", entry.offset) + (row or b"") + entry.value
        ).digest()
        if seen == DROP_AT:
            store.delete(key)
        else:
            store.put(key, bytes([seen]) + chain)
        scanned = 0
        if count % SCAN_EVERY == 0:
            digest = hashlib.sha256()
            for found, value in store.scan(b"k:", key):
                digest.update(found + value)
            scanned = int.from_bytes(digest.digest()[:8], "big")
        store.put(b"total", _TOTAL.pack(count, chain))
        sends = [
            Send(
                topic=self.out,
                partition=entry.partition,
                key=entry.key,
                value=Out(source, entry.offset, count, scanned, chain).encode(),
                sequenced=True,
            )
        ]
        if count % STEP_EVERY == 0:
            sends.append(
                Send(
                    topic=self.sources[0],
                    partition=entry.partition,
                    key=b"step",
                    value=b"step %d" % count,
                    sequenced=True,
                )
            )
        return sends


@dataclass(slots=True)
class Rows:
    """A Store of plain Python: what the lane's overlay must behave like."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterable[tuple[bytes, bytes]]:
        return [(key, self.rows[key]) for key in sorted(self.rows) if key.startswith(prefix) and key >= start]


@dataclass(frozen=True, slots=True)
class Logged:
    """One committed record of a source, as an independent reader sees it."""

    offset: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """The model's verdict on one partition: what it found wrong, and the state that must be in the changelog."""

    problems: list[str]
    state: dict[bytes, bytes]


def judge(toy: Toy, partition: int, logs: Mapping[str, Sequence[Logged]], outs: Sequence[Out]) -> Judged:
    """Fold the sources again in the order that `outs` tells, and compare."""
    store, problems = Rows(), []
    waiting = {topic: list(reversed(log)) for topic, log in logs.items()}
    for number, out in enumerate(outs):
        topic = toy.sources[out.source]
        due = waiting[topic].pop() if waiting[topic] else None
        if due is None or due.offset != out.offset:
            problems.append(
                f"partition {partition} output {number}: answers {topic} {out.offset}, due is {due and due.offset}"
            )
            break
        entry = Entry(topic=topic, partition=partition, offset=due.offset, log_ms=0, key=due.key, value=due.value)
        want = Out.decode(toy.apply(store, entry)[0].value or b"")  # type: ignore[arg-type]
        if want != out:
            problems.append(f"partition {partition} output {number}: {out} where the model has {want}")
            break
    missing = {topic: len(rest) for topic, rest in waiting.items() if rest}
    if missing and not problems:
        problems.append(f"partition {partition}: never answered: {missing}")
    return Judged(problems, store.rows)
