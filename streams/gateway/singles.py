"""Decoding N single `LifecycleEvent` messages at once: every message is walked field by field, all in step.

Each row reads within its own message only and must end at its end, so no message can swallow bytes of the next, and a
bad one is found without touching the others. (Reading the joined bodies as one Avro block, as FACTS describes, needs
a check of all boundaries afterwards, a search for the bad message, and panics on some; this costs less than the two.)
Pure. `tests/unit/streams/gateway/test_decode.py` holds it against fastavro, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import HIGH_BITS, WORD_MASKS, Bytes, Rows, Words, words_view
from schemas.reasons import CODES
from streams.gateway.events import KINDS, Events, Heads, Slices

MAX_SUBJECTS = 256
"""Of one record. It also bounds the steps of the walk."""
HEADER_BYTES = 5

_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONE = np.uint64(1)


def unzigzag(raw: Words) -> Rows:
    """Return the signed numbers that Avro writes as `raw`, the sign in the lowest bit."""
    value: Rows = (raw >> _ONE).view(np.int64) ^ -((raw & _ONE).view(np.int64))
    return value


@dataclass(slots=True)
class _Walk:
    """Where each row stands. A row that fails keeps its reason, and reads nothing more.

    `continued` counts the bytes of numbers that have another one behind them: the only bytes above 127 that a
    message of ASCII texts has.
    """

    buffer: Bytes
    at: Rows
    end: Rows
    reason: NDArray[np.uint8]
    continued: int = 0

    def fail(self, rows: NDArray[np.intp], reason: str) -> None:
        fresh = rows[self.reason[rows] == 0]
        self.reason[fresh] = CODES[reason]
        self.at[rows] = self.end[rows]

    def long(self, rows: NDArray[np.intp] | None = None) -> Rows:
        """Read one zigzag varint in each of `rows` (None: all)."""
        at = self.at if rows is None else self.at[rows]
        end = self.end if rows is None else self.end[rows]
        byte = self.buffer[at]
        if not (byte > 127).any():
            raw, behind = byte.astype(np.uint64), at + 1
            bad = at >= end
        else:
            raw, size = varints(self.buffer, at)
            behind = at + size
            bad = (behind > end) | (size > 10)
            self.continued += int(size.sum()) - len(size)
        value = unzigzag(raw)
        if rows is None:
            self.at = behind
        else:
            self.at[rows] = behind
        if bad.any():
            value[bad] = 0
            wrong = np.flatnonzero(bad) if rows is None else rows[bad]
            self.fail(wrong, "undecodable")
        return value

    def text(self, rows: NDArray[np.intp] | None = None) -> Slices:
        """Read one length-prefixed text in each of `rows` (None: all)."""
        length = self.long(rows)
        at = self.at if rows is None else self.at[rows]
        end = self.end if rows is None else self.end[rows]
        bad = (length < 0) | (length > end - at)
        if bad.any():
            length[bad] = 0
            wrong = np.flatnonzero(bad) if rows is None else rows[bad]
            self.fail(wrong, "undecodable")
            at = self.at if rows is None else self.at[rows]
        if rows is None:
            self.at = at + length
        else:
            self.at[rows] = at + length
        return Slices(at, length)

    def texts(self, count: int) -> list[Slices]:
        """Read `count` (at most 8) texts in each row: at once where all are empty, as these mostly are."""
        if len(self.at) and not self.reason.any() and bool((self.at + count <= self.end).all()):
            prefixes = words_view(self.buffer)[self.at] & WORD_MASKS[count]
            if not prefixes.any():
                none = Slices(self.at, np.zeros(len(self.at), np.int64))
                self.at = self.at + count
                return [none] * count
        return [self.text() for _ in range(count)]


def varints(buffer: Bytes, at: Rows) -> tuple[Words, Rows]:
    """Return the varint at each of `at`, and its bytes; 11 of them where there is no end within ten."""
    word = words_view(buffer)[at]
    last = ~word & HIGH_BITS
    last &= -last  # the high bit of the last byte, 0 if the number goes on beyond these eight
    below = last - _ONE
    size = (np.bitwise_count(below) >> 3).astype(np.int64) + 1
    # Groups of seven bits, brought together in pairs, fours and eights.
    raw = word & (below | last) & _LOW7
    raw = (raw & np.uint64(0x007F007F007F007F)) | ((raw & np.uint64(0x7F007F007F007F00)) >> _ONE)
    raw = (raw & np.uint64(0x00003FFF00003FFF)) | ((raw & np.uint64(0x3FFF00003FFF0000)) >> np.uint64(2))
    raw = (raw & np.uint64(0x000000000FFFFFFF)) | ((raw & np.uint64(0x0FFFFFFF00000000)) >> np.uint64(4))
    long = np.flatnonzero(last == 0)
    for shift in (56, 63):
        byte = buffer[np.minimum(at[long] + shift // 7, len(buffer) - 1)]
        raw[long] |= (byte & 127).astype(np.uint64) << np.uint64(shift)
        size[long] = shift // 7 + 1
        long = long[byte > 127]
    size[long] = 11
    return raw, size


def decode_singles(buffer: Bytes, values: Slices, message: Rows) -> tuple[Events, NDArray[np.uint8]]:
    """Return the events, a row a message, and each row's reason code, 0 for none.

    `values` are whole messages with their header; `message` their numbers. Rows with a reason hold nothing of use,
    save that their producer may be read where it was reached.
    """
    n = len(message)
    walk = _Walk(buffer, values.starts + HEADER_BYTES, values.starts + values.lengths, np.zeros(n, np.uint8))
    kind = walk.long()
    wrong = np.flatnonzero((kind < 0) | (kind >= len(KINDS)))
    if len(wrong):
        kind[wrong] = 0
        walk.fail(wrong, "undecodable")
    org = walk.text()
    category = walk.text()
    record = walk.text()
    counts, subjects = _subjects(walk, n)
    occurred = walk.long()
    target, parent, root, region, name = walk.texts(5)
    producer = walk.text()
    over = np.flatnonzero((walk.at != walk.end) & (walk.reason == 0))
    walk.fail(over, "undecodable")
    heads = Heads(
        message=message,
        kind=kind.astype(np.uint8),
        org=org,
        category=category,
        target=target,
        name=name,
        producer=producer,
    )
    events = Events(
        heads=heads,
        head=np.arange(n),
        record=record,
        occurred=occurred,
        parent=parent,
        root=root,
        subject_counts=counts,
        subjects=subjects,
    )
    if not _only_ascii(values, walk):
        _check_utf8(events, region, walk)
    return events, walk.reason


def _subjects(walk: _Walk, n: int) -> tuple[Rows, Slices]:
    """Read each row's array of texts: blocks of a count and its items; a negative count has its bytes behind it."""
    counts = np.zeros(n, np.int64)
    found_rows: list[NDArray[np.intp]] = []
    found: list[Slices] = []
    active = np.flatnonzero(walk.reason == 0)
    while len(active):
        items = walk.long(active)
        sized = np.flatnonzero(items < 0)
        if len(sized):
            walk.long(active[sized])
            items[sized] = -items[sized]
        many = (items < 0) | (items > MAX_SUBJECTS - counts[active])
        if many.any():
            walk.fail(active[many], "too_many_subjects")
        going = (items > 0) & ~many & (walk.reason[active] == 0)
        active, items = active[going], items[going]
        for i in range(int(items.max(initial=0))):
            rows = active if i < int(items.min()) else active[items > i]
            found_rows.append(rows)
            found.append(walk.text(rows))
            counts[rows] += 1
    if not found:
        return counts, Slices.none(0)
    rows, slices = np.concatenate(found_rows), Slices.concat(found)
    if len(found) > 1:
        slices = slices.take(np.argsort(rows, kind="stable"))
    return counts, slices


def _only_ascii(values: Slices, walk: _Walk) -> bool:
    """Tell whether all texts are surely ASCII: the messages, one behind the other, have no high byte but in numbers."""
    if len(values.starts) == 0:
        return True
    if walk.reason.any() or bool((values.starts[1:] != values.starts[:-1] + values.lengths[:-1]).any()):
        return False
    first, end = int(values.starts[0]), int(values.starts[-1] + values.lengths[-1])
    in_headers = int(np.count_nonzero(walk.buffer[first : first + HEADER_BYTES] > 127)) * len(values.starts)
    return int(np.count_nonzero(walk.buffer[first:end] > 127)) == in_headers + walk.continued


def _check_utf8(events: Events, region: Slices, walk: _Walk) -> None:
    """Fail rows with a text that is not UTF-8. Only rows with a byte beyond ASCII are looked at one by one."""
    heads = events.heads  # a row a message, as the events are
    texts = [heads.org, heads.category, events.record, heads.target, events.parent, events.root]
    texts += [region, heads.name, heads.producer]
    suspect = np.zeros(len(events), np.bool_)
    for text in texts:
        suspect |= beyond_ascii(walk.buffer, text)
    by_row = np.repeat(np.arange(len(events)), events.subject_counts)
    suspect[by_row[beyond_ascii(walk.buffer, events.subjects)]] = True
    stops = np.cumsum(events.subject_counts)
    for row in np.flatnonzero(suspect & (walk.reason == 0)).tolist():
        own = [t.take(np.array([row])) for t in texts]
        own.append(events.subjects.take(np.arange(stops[row] - events.subject_counts[row], stops[row])))
        if not all(_valid(walk.buffer, t) for t in own):
            walk.fail(np.array([row]), "undecodable")


def _valid(buffer: Bytes, slices: Slices) -> bool:
    try:
        for start, length in zip(slices.starts.tolist(), slices.lengths.tolist(), strict=True):
            buffer[start : start + length].tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def beyond_ascii(buffer: Bytes, slices: Slices) -> NDArray[np.bool_]:
    """Tell which slices hold a byte beyond ASCII."""
    view = words_view(buffer)
    seen = np.zeros(len(slices.starts), np.uint64)
    shortest, longest = int(slices.lengths.min(initial=1 << 40)), int(slices.lengths.max(initial=0))
    for at in range(0, longest, 8):
        if at + 8 <= shortest:
            seen |= view[slices.starts + at]
        else:
            rows = np.flatnonzero(slices.lengths > at)
            seen[rows] |= view[slices.starts[rows] + at] & WORD_MASKS[np.minimum(slices.lengths[rows] - at, 8)]
    high: NDArray[np.bool_] = (seen & HIGH_BITS) != 0
    return high
