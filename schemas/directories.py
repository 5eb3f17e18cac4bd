"""What groups have in common with their rows left out: the directory of a frame or pack, as columns.

A hundred thousand small orgs make tens of thousands of groups a frame, so nothing here makes an object for each.
Used by `schemas.frames`, which makes groups of it, and by the ledger where it handles very many at once;
`tests/unit/schemas/test_directories.py` says what it promises. The layout is a zstd frame: each text once, numbers by
planes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from schemas.bodies import BadBody, Reader, compress, decompress
from schemas.names import Names
from schemas.ordered import ranks
from schemas.planes import matrix_of, undo_differences
from schemas.ragged import Bytes, Rows, starts_of
from schemas.text_runs import TextRuns, differences_of_runs

MAX_GROUPS: Final = 1 << 20
KINDS: Final = ("record", "touched", "deleted", "moved", "deactivated", "reactivated", "contract", "named")
"""What a group says of its rows; `created` and `derived` events are both "record"."""
RECORD: Final = 0
"""The code of "record"."""
_FEW: Final = 128
"""So many texts are quicker as objects."""


@dataclass(frozen=True, slots=True)
class Texts:
    """One text a group: `values[codes[i]]`. Values need be neither used nor distinct.

    Many of them are `Names`, whose texts are no objects.
    """

    values: Sequence[str]
    codes: Rows

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Build from the texts themselves."""
        places = _places(texts)
        return cls(tuple(places), np.fromiter(map(places.__getitem__, texts), np.int64, len(texts)))

    @classmethod
    def same(cls, text: str, n: int) -> Self:
        """Return `text` for each of n groups."""
        return cls((text,), np.zeros(n, np.int64))

    @classmethod
    def concat(cls, parts: Sequence[Texts]) -> Self:
        """Return the texts of `parts`, one after the other; values are distinct."""
        if any(isinstance(part.values, Names) for part in parts):
            return cls._of_names(parts)
        places = _places(chain.from_iterable(part.values for part in parts))
        codes = []
        for part in parts:
            table = np.fromiter(map(places.__getitem__, part.values), np.int64, len(part.values))
            codes.append(table[part.codes] if len(part.codes) else part.codes)
        return cls(tuple(places), np.concatenate(codes) if codes else np.zeros(0, np.int64))

    @classmethod
    def _of_names(cls, parts: Sequence[Texts]) -> Self:
        """Do the same where there are many."""
        whole = Names.concat([Names.of(part.values) for part in parts])
        values, places = whole.distinct()
        before = starts_of(np.array([len(part.values) for part in parts], np.int64)).tolist()
        codes = [places[part.codes + first] for part, first in zip(parts, before, strict=True)]
        return cls(values, np.concatenate(codes))

    def take(self, rows: NDArray[np.intp]) -> Texts:
        return Texts(self.values, self.codes[rows])

    def used(self) -> list[int]:
        """Return the codes that occur, ascending."""
        codes: list[int] = self.in_use().tolist()
        return codes

    def in_use(self) -> NDArray[np.intp]:
        """Return the same as an array."""
        return np.flatnonzero(np.bincount(self.codes, minlength=len(self.values)))

    def are(self, texts: Set[str]) -> NDArray[np.bool_]:
        """Tell of each group whether its text is one of `texts`."""
        found = np.zeros(len(self.values), np.bool_)
        found[Names.of(self.values).among(texts)] = True
        return found[self.codes]

    def at(self, row: int) -> str:
        return self.values[int(self.codes[row])]

    def list(self) -> list[str]:
        """Return each group's text."""
        values = self.values
        if isinstance(values, Names):
            return values.take(self.codes).texts()
        return [values[code] for code in self.codes.tolist()]

    @classmethod
    def read(cls, reader: Reader, n: int) -> Self:
        """Read the texts of n groups. Raises BadBody."""
        lengths = reader.planes(reader.count(4, MAX_GROUPS), 2).astype(np.int64)
        whole = reader.take(int(lengths.sum()))
        try:
            values = _read_names(whole, lengths) if len(lengths) > _FEW else _read_texts(whole.tobytes(), lengths)
        except UnicodeDecodeError:
            raise BadBody("a group's text is not UTF-8") from None
        codes = undo_differences(reader.planes(n, 4)).astype(np.int64)
        if n and int(codes.max()) >= len(values):
            raise BadBody("a text code lies beyond its texts")
        return cls(values, codes)

    def ranks(self) -> Rows:
        """Return each group's place among the distinct texts in their order."""
        if not len(self.codes):
            return self.codes
        values = self.values
        return (values.ranks() if isinstance(values, Names) else ranks(values))[self.codes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """n groups as columns of equal length; the fields are those of `schemas.frames.GroupHeader` and `Group`.

    `kinds`: places in KINDS. `low`, `high`: the clocks of a group's rows, in seconds, both included.
    """

    kinds: NDArray[np.uint8]
    orgs: Texts
    categories: Texts
    targets: Texts
    names: Texts
    days: Rows
    sources: Rows
    first: NDArray[np.uint64]
    next: NDArray[np.uint64]
    counts: Rows
    low: NDArray[np.uint32]
    high: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def texts(self) -> tuple[Texts, Texts, Texts, Texts]:
        return self.orgs, self.categories, self.targets, self.names

    def take(self, rows: NDArray[np.intp]) -> Directory:
        """Return the groups at the ordinals `rows`, in that order."""
        orgs, categories, targets, names = (texts.take(rows) for texts in self.texts)
        return Directory(
            kinds=self.kinds[rows],
            orgs=orgs,
            categories=categories,
            targets=targets,
            names=names,
            days=self.days[rows],
            sources=self.sources[rows],
            first=self.first[rows],
            next=self.next[rows],
            counts=self.counts[rows],
            low=self.low[rows],
            high=self.high[rows],
        )

    def of_rows(self, counts: Rows, clocks: NDArray[np.uint32]) -> Directory:
        """Return the groups with other rows: `counts` of them each, none of them 0, whose clocks follow each other."""
        begins = starts_of(counts)
        low, high = np.minimum.reduceat(clocks, begins), np.maximum.reduceat(clocks, begins)
        return replace(self, counts=counts, low=low, high=high)

    @staticmethod
    def concat(parts: Sequence[Directory]) -> Directory:
        """Return the groups of `parts`, at least one, one after the other."""
        orgs, categories, targets, names = (Texts.concat([part.texts[i] for part in parts]) for i in range(4))
        return Directory(
            kinds=np.concatenate([part.kinds for part in parts]),
            orgs=orgs,
            categories=categories,
            targets=targets,
            names=names,
            days=np.concatenate([part.days for part in parts]),
            sources=np.concatenate([part.sources for part in parts]),
            first=np.concatenate([part.first for part in parts]),
            next=np.concatenate([part.next for part in parts]),
            counts=np.concatenate([part.counts for part in parts]),
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
        )

    def encode(self) -> bytes:
        """Return its bytes."""
        return self.encode_runs([len(self)])[0]

    def encode_runs(self, sizes: Sequence[int]) -> list[bytes]:
        """Return the bytes of each run of `sizes` consecutive groups, as if it were a directory of its own."""
        bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64))))
        kinds, texts = self.kinds.astype(np.uint8), [TextRuns(t.values, t.codes, bounds) for t in self.texts]
        columns = [
            differences_of_runs(self.days, bounds),
            matrix_of(self.sources, 2),
            matrix_of(self.first, 8),
            matrix_of(self.next - self.first, 8),
            matrix_of(self.counts, 4),
            differences_of_runs(self.low, bounds),
            matrix_of(self.high - self.low, 4),
        ]
        found = []
        for run, (first, stop) in enumerate(pairwise(bounds.tolist())):
            parts = [(stop - first).to_bytes(4, "little"), kinds[first:stop].tobytes()]
            for one in texts:
                parts += one.of(run, first, stop)
            parts += [column[first:stop].T.tobytes() for column in columns]
            found.append(compress(b"".join(parts)))
        return found

    @staticmethod
    def decode(data: bytes) -> Directory:
        """Read a directory. Raises BadBody."""
        reader = Reader(decompress(data))
        n = reader.count(4, MAX_GROUPS)
        kinds = reader.take(n)
        if n and int(kinds.max()) >= len(KINDS):
            raise BadBody(f"a group's kind is {int(kinds.max())}, known are {len(KINDS)}")
        orgs, categories, targets, names = (Texts.read(reader, n) for _ in range(4))
        days = undo_differences(reader.planes(n, 4)).astype(np.int64)
        sources = reader.planes(n, 2).astype(np.int64)
        first = reader.planes(n, 8)
        following = first + reader.planes(n, 8)
        counts = reader.planes(n, 4).astype(np.int64)
        low = undo_differences(reader.planes(n, 4))
        high = low + reader.planes(n, 4)
        reader.end()
        return Directory(
            kinds=kinds,
            orgs=orgs,
            categories=categories,
            targets=targets,
            names=names,
            days=days,
            sources=sources,
            first=first,
            next=following,
            counts=counts,
            low=low,
            high=high,
        )


def _places(texts: Iterable[str]) -> dict[str, int]:
    """Return the place of each distinct text in the order of their first use."""
    distinct = dict.fromkeys(texts)
    return dict(zip(distinct, range(len(distinct)), strict=True))


def _read_texts(whole: bytes, lengths: Rows) -> list[str]:
    ends = np.cumsum(lengths)
    return [whole[first:stop].decode() for first, stop in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


def _read_names(whole: Bytes, lengths: Rows) -> Names:
    names = Names.of_bytes(whole, lengths)
    if int(whole.max(initial=0)) > 127:
        names.texts()  # each for itself: one that ends within a character is none
    return names
