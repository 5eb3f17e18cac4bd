"""What few values rows have in common: kind, org, category, target, name and producer, found without a loop over rows.

Orgs are told apart by their numbers (`streams.gateway.orgs`), the rest by a keyed hash of its bytes: rows are then
compared with the first of their kind, so a collision costs time and confuses nothing. No output depends on the hash's
key, drawn as `schemas.names` is imported, nor on the numbers. `tests/unit/streams/gateway/test_pack.py` says
what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.alike import first_alike, numbered
from schemas.names import Names
from schemas.ragged import Bytes, Rows
from streams.gateway.events import Heads, Slices
from streams.gateway.orgs import Orgs


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

    With very many small orgs there are nearly as many as rows, so nothing is made for each. `numbers`: the orgs' in
    `streams.gateway.orgs`; `bad_orgs`: whose name holds a control character.
    """

    orgs: Names
    numbers: Rows
    bad_orgs: NDArray[np.bool_]
    org: Rows
    rests: Sequence[Rest]
    rest: Rows

    def __len__(self) -> int:
        return len(self.org)

    def __getitem__(self, i: int) -> Label:
        rest = self.rests[self.rest[i]]
        return Label(rest.kind, self.orgs[int(self.org[i])], *rest[1:])


def label_heads(buffer: Bytes, heads: Heads, known: Orgs) -> tuple[Labels, Rows]:
    """Return the combinations and each message's index among them."""
    numbers = known.numbers(buffer, heads.org)
    orgs, org = numbered(first_alike(numbers.view(np.uint64)))
    rests, rest = _alike(buffer, heads.kind, (heads.category, heads.target, heads.name, heads.producer))
    firsts, codes = numbered(first_alike((org * max(1, len(rests)) + rest).view(np.uint64)))
    texts = [_texts(buffer, s.take(rests)) for s in (heads.category, heads.target, heads.name, heads.producer)]
    found = [*map(Rest._make, zip(heads.kind[rests].tolist(), *texts, strict=True))]
    own = numbers[orgs]
    return Labels(known.names(own), own, known.have_control(own), org[firsts], found, rest[firsts]), codes


def _texts(buffer: Bytes, slices: Slices) -> list[str]:
    return Names(buffer, slices.starts, slices.lengths).texts()


def _alike(buffer: Bytes, kinds: NDArray[np.uint8], fields: tuple[Slices, ...]) -> tuple[NDArray[np.intp], Rows]:
    """Return the first row of each combination of a kind and texts, and each row's combination."""
    texts = [Names(buffer, slices.starts, slices.lengths) for slices in fields if slices.lengths.any()]
    hashes = np.zeros(len(kinds), np.uint64)
    for names in texts:  # what all leave empty tells none apart
        hashes = names.mixed_into(hashes)
    firsts, codes = numbered(first_alike(hashes, kinds))
    same, every, alike = np.ones(len(kinds), np.bool_), np.arange(len(kinds)), firsts[codes]
    for names in texts:
        same &= names.equal(every, names, alike)
    if bool(same.all()):
        return firsts, codes
    return _alike_by_bytes(buffer, kinds, fields)


def _alike_by_bytes(
    buffer: Bytes, kinds: NDArray[np.uint8], fields: tuple[Slices, ...]
) -> tuple[NDArray[np.intp], Rows]:
    """Do the same by comparing bytes: the way out when two combinations share a hash."""
    seen: dict[tuple[int, tuple[bytes, ...]], int] = {}
    firsts: list[int] = []
    codes = np.empty(len(kinds), np.int64)
    for row, kind in enumerate(kinds.tolist()):
        texts = tuple(buffer[f.starts[row] : f.starts[row] + f.lengths[row]].tobytes() for f in fields)
        key = kind, texts
        if key not in seen:
            seen[key] = len(firsts)
            firsts.append(row)
        codes[row] = seen[key]
    return np.array(firsts, np.intp), codes
