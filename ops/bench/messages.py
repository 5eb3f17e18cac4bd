"""Lifecycle messages of a block: one an event, or batches as `ebbtide.publisher` and `ebbtide backfill` make them.

Single events are put together by hand, for they are millions; batches go through the public codec. Called by
`ops.bench.load`; `tests/unit/ops/bench/test_dataset.py` decodes both with the public schema.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ebbtide.wire import HEADER, PUBLIC_IDS, public_codec
from ops.bench.block import CREATED, DELETED, TOUCHED, Block, Ints
from ops.bench.dataset import CATEGORIES, Shape, org_names

KIND_NAMES = {CREATED: "created", TOUCHED: "touched", DELETED: "deleted"}
BATCH_ROWS = 1_000
_PRODUCER = b"bench"


class Messages:
    """Makes the messages of one shape. Every message goes with the index of its org, which is its key."""

    def __init__(self, shape: Shape) -> None:
        self._width = shape.id_length
        self._names = org_names(shape)
        self._categories = tuple(CATEGORIES)
        self._heads: dict[tuple[int, int, int], bytes] = {}
        self._codec = public_codec()

    def singles(self, block: Block) -> Iterator[tuple[int, bytes]]:
        """Yield (org, message), one an event."""
        width, ids, times = self._width, block.ids, _zigzag6(block.millis)
        tail = bytes(5) + _text(_PRODUCER)
        rows = zip(
            block.kind.tolist(),
            block.org.tolist(),
            block.category.tolist(),
            block.people[0].tolist(),
            block.people[1].tolist(),
            block.two.tolist(),
            strict=True,
        )
        for i, (kind, org, category, one, other, two) in enumerate(rows):
            if kind != CREATED:
                subjects = b"\0"
            elif two:
                subjects = b"\x04\x16u%010d\x16u%010d\0" % (one, other)
            else:
                subjects = b"\x02\x16u%010d\0" % one
            head = self._head(kind, org, category)
            yield org, head + ids[i * width : (i + 1) * width] + subjects + times[i * 6 : i * 6 + 6] + tail

    def batches(self, block: Block) -> Iterator[tuple[int, bytes]]:
        """Yield (org, message), one for each run of at most 1000 rows of one kind, org and category, by time."""
        text = block.ids.decode()
        order = np.lexsort((block.millis, block.category, block.org, block.kind))
        group = (block.kind * len(self._names) + block.org) * len(self._categories) + block.category
        ordered = group[order]
        begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))).tolist()
        for begin, end in zip(begins, [*begins[1:], len(block)], strict=True):
            for first in range(begin, end, BATCH_ROWS):
                rows = order[first : min(first + BATCH_ROWS, end)]
                yield int(block.org[rows[0]]), self._batch(block, rows, text)

    def _batch(self, block: Block, rows: npt.NDArray[np.intp], text: str) -> bytes:
        width, first = self._width, int(rows[0])
        created = int(block.kind[first]) == CREATED
        two = block.two[rows]
        people = np.stack((block.people[0, rows], block.people[1, rows]), axis=1)
        wanted = np.stack((np.ones(len(rows), np.bool_), two), axis=1)
        record = {
            "kind": KIND_NAMES[int(block.kind[first])],
            "org": self._names[int(block.org[first])],
            "category": self._categories[int(block.category[first])],
            "record_ids": [text[i * width : (i + 1) * width] for i in rows.tolist()],
            "occurred_at": block.millis[rows].tolist(),
            "subject_counts": (1 + two.astype(np.int64)).tolist() if created else [],
            "subject_ids": [f"u{one:010d}" for one in people[wanted].tolist()] if created else [],
            "producer": _PRODUCER.decode(),
        }
        return self._codec.encode("LifecycleBatch", record)

    def _head(self, kind: int, org: int, category: int) -> bytes:
        """All of a message up to its record id: header, kind, org, category, the id's length."""
        found = self._heads.get((kind, org, category))
        if found is None:
            wire = HEADER.pack(0, PUBLIC_IDS["LifecycleEvent"]) + bytes([2 * kind])
            name, label = self._names[org].encode(), self._categories[category].encode()
            found = self._heads[kind, org, category] = wire + _text(name) + _text(label) + bytes([2 * self._width])
        return found


def _text(data: bytes) -> bytes:
    """An Avro string of fewer than 64 bytes."""
    return bytes([2 * len(data)]) + data


def _zigzag6(millis: Ints) -> bytes:
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
