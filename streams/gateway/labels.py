"""What few values rows have in common: kind, org, category, target, name and producer, found without a loop over rows.

Rows are brought together by a keyed hash of their bytes and then compared with the first of their kind, so a
collision costs time and never mixes two orgs. Pure, save that the hash's key is drawn once a process: no output
depends on it. `tests/unit/streams/gateway/test_pack.py` says what it promises.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.ragged import WORD_MASKS, Bytes, Rows, Words, equal_to, gather, words_view
from streams.gateway.events import Heads, Slices

_SEED, _FACTOR = (np.uint64(secrets.randbits(64) | 1) for _ in range(2))


class Rest(NamedTuple):
    """What of a combination does not name the org: few differ. `kind` is the event's number."""

    kind: int
    category: str
    target: str
    name: str
    producer: str


class Label(NamedTuple):
    """One combination that occurs."""

    kind: int
    org: str
    category: str
    target: str
    name: str
    producer: str


@dataclass(frozen=True, slots=True)
class Labels:
    """The combinations that occur: number i is of `orgs[org[i]]` and `rests[rest[i]]`.

    With very many small orgs there are nearly as many as rows, so nothing is made for each.
    """

    orgs: Sequence[str]
    org: Rows
    rests: Sequence[Rest]
    rest: Rows

    def __len__(self) -> int:
        return len(self.org)

    def __getitem__(self, i: int) -> Label:
        rest = self.rests[self.rest[i]]
        return Label(rest.kind, self.orgs[self.org[i]], *rest[1:])


def label_heads(buffer: Bytes, heads: Heads) -> tuple[Labels, Rows]:
    """Return the combinations and each message's index among them."""
    firsts, codes = _alike(buffer, (heads.label, heads.target, heads.name, heads.producer))
    kinds, org, category = heads.kind[firsts], heads.org.take(firsts), heads.category.take(firsts)
    target, name, producer = heads.target.take(firsts), heads.name.take(firsts), heads.producer.take(firsts)
    orgs, org_of = _alike(buffer, (org,))
    rests, rest_of = _alike(buffer, (category, target, name, producer), kinds)
    texts = [_texts(buffer, s.take(rests)) for s in (category, target, name, producer)]
    found = [*map(Rest._make, zip(kinds[rests].tolist(), *texts, strict=True))]
    return Labels(_texts(buffer, org.take(orgs)), org_of, found, rest_of), codes


def _texts(buffer: Bytes, slices: Slices) -> list[str]:
    raw = gather(buffer, slices.starts, slices.lengths).tobytes()
    ends = np.cumsum(slices.lengths)
    bounds = zip((ends - slices.lengths).tolist(), ends.tolist(), strict=True)
    if raw.isascii():
        text = raw.decode("ascii")
        return [text[a:b] for a, b in bounds]
    return [raw[a:b].decode() for a, b in bounds]


def _alike(
    buffer: Bytes, fields: tuple[Slices, ...], kinds: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.intp], Rows]:
    """Return the first row of each combination of texts, and of `kinds` where given, and each row's combination."""
    n = len(fields[0].starts)
    fields = tuple(slices for slices in fields if slices.lengths.any())  # what all leave empty tells none apart
    hashes = np.full(n, _SEED)
    if kinds is not None:
        hashes = (hashes ^ kinds.astype(np.uint64)) * _FACTOR
    for slices in fields:
        hashes = _mix(buffer, slices, hashes)
    firsts, codes = numbered(first_alike(hashes))
    same = np.ones(n, np.bool_) if kinds is None else kinds == kinds[firsts][codes]
    for slices in fields:
        model = slices.take(firsts)
        same &= equal_to(buffer, slices.starts, slices.lengths, buffer, (model.starts[codes], model.lengths[codes]))
    if bool(same.all()):
        return firsts, codes
    return _alike_by_bytes(buffer, fields, kinds, n)


def _mix(buffer: Bytes, slices: Slices, hashes: Words) -> Words:
    view = words_view(buffer)
    hashes = (hashes ^ slices.lengths.astype(np.uint64)) * _FACTOR
    longest, shortest = int(slices.lengths.max(initial=0)), int(slices.lengths.min(initial=1 << 40))
    for at in range(0, longest, 8):
        if at + 8 <= shortest:
            word = view[slices.starts + at]
            hashes = (hashes ^ word) * _FACTOR
            hashes ^= hashes >> np.uint64(29)
        else:
            rows = np.flatnonzero(slices.lengths > at)
            word = view[slices.starts[rows] + at] & WORD_MASKS[np.minimum(slices.lengths[rows] - at, 8)]
            mixed = (hashes[rows] ^ word) * _FACTOR
            hashes[rows] = mixed ^ (mixed >> np.uint64(29))
    return hashes


def _alike_by_bytes(
    buffer: Bytes, fields: tuple[Slices, ...], kinds: NDArray[np.uint8] | None, n: int
) -> tuple[NDArray[np.intp], Rows]:
    """Do the same by comparing bytes: the way out when two combinations share a hash."""
    seen: dict[tuple[int, tuple[bytes, ...]], int] = {}
    firsts: list[int] = []
    codes = np.empty(n, np.int64)
    for row in range(n):
        texts = tuple(buffer[f.starts[row] : f.starts[row] + f.lengths[row]].tobytes() for f in fields)
        key = 0 if kinds is None else int(kinds[row]), texts
        if key not in seen:
            seen[key] = len(firsts)
            firsts.append(row)
        codes[row] = seen[key]
    return np.array(firsts, np.intp), codes
