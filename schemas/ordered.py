"""Places of texts and rows among each other, for very many at once: sorted two bytes at a time, none by itself.

Used where packs name tens of thousands of orgs and have as many groups; `tests/unit/schemas/test_ordered.py` says what
it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, Rows, order_by, padded, starts_of, words_of

T = TypeVar("T", str, bytes)

_FEW: Final = 512
"""So many texts are quicker one by one."""
_LARGEST_KEY: Final = 1 << 62
_LONGEST: Final = 64
"""Bytes; of longer texts there are more passes than comparing them costs."""


def ranks(texts: Sequence[str]) -> Rows:
    """Return each text's place among the distinct ones in their order, by code points."""
    if len(texts) <= _FEW:
        return _one_by_one(texts)
    pieces = [text.encode() for text in texts]
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return ranks_of_slices(padded(b"".join(pieces)), starts_of(lengths), lengths)


def ranks_of_slices(buffer: Bytes, starts: Rows, lengths: Rows) -> Rows:
    """Return the same of texts that are slices of `buffer`, which is padded.

    UTF-8 sorts as its code points do, and what ends first comes first.
    """
    if len(starts) > _FEW and 0 < int(lengths.max()) <= _LONGEST:
        return _by_bytes(np.stack(words_of(buffer, starts, lengths), axis=1), lengths)
    bounds = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    return _one_by_one([buffer[first:stop].tobytes() for first, stop in bounds])


def mixed(first: Rows, *others: Rows) -> Rows:
    """Return one number a row, from 0 on, in the order of rows by numbers from 0 on, `first` before `others`; equal
    where all of these are."""
    key, most = first, int(first.max(initial=0)) + 1
    for other in others:
        part, span = other, int(other.max(initial=0)) + 1
        if span == 1:
            continue
        if most > _LARGEST_KEY // span:  # very many orgs, names and days at once
            (key, most), (part, span) = _dense(key), _dense(part)
        key, most = key * span + part, most * span
    return key


def _dense(part: Rows) -> tuple[Rows, int]:
    """Return numbers in the same order without gaps, and how many there are."""
    found: Rows = np.unique(part, return_inverse=True)[1]
    return found, int(found.max()) + 1


def order_of(first: Rows, *others: Rows) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the stable order of rows by numbers from 0 on, `first` before `others`, and which of them, in that order,
    differ from the one before."""
    key = mixed(first, *others)
    order = order_by(key, int(key.max(initial=0)).bit_length())
    ordered, fresh = key[order], np.ones(len(key), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return order, fresh


def _one_by_one(texts: Sequence[T]) -> Rows:
    places = {text: i for i, text in enumerate(sorted(set(texts)))}
    return np.fromiter(map(places.__getitem__, texts), np.int64, len(texts))


def _by_bytes(words: NDArray[np.uint64], lengths: Rows) -> Rows:
    """Rank texts by their bytes, in rows of whole words."""
    pairs = words.view(">u2")
    order: NDArray[np.intp] = np.argsort(lengths.astype(np.uint16), kind="stable")
    for i in range(pairs.shape[1] - 1, -1, -1):
        part = pairs[:, i].astype(np.uint16)
        if int(part.min()) != int(part.max()):
            order = order[np.argsort(part[order], kind="stable")]  # a radix sort, for numbers of 16 bits
    fresh = np.zeros(len(order), np.bool_)
    for column in (lengths, *words.T):
        ordered = column[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    found = np.empty(len(order), np.int64)
    found[order] = np.cumsum(fresh)
    return found
