"""Places of texts among each other, for very many at once: their bytes are sorted two at a time, no text by itself.

Used where packs name tens of thousands of orgs; `tests/unit/schemas/test_ordered.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import WORD_MASKS, Rows, padded, starts_of, words_view

_FEW: Final = 512
"""So many texts are quicker one by one."""
_LONGEST: Final = 64
"""Bytes; of longer texts there are more passes than comparing them costs."""


def ranks(texts: Sequence[str]) -> Rows:
    """Return each text's place among the distinct ones in their order, by code points."""
    if len(texts) <= _FEW:
        return _one_by_one(texts)
    joined = "".join(texts)
    if joined.isascii():
        raw, lengths = joined.encode("ascii"), np.fromiter(map(len, texts), np.int64, len(texts))
    else:
        pieces = [text.encode() for text in texts]
        raw, lengths = b"".join(pieces), np.fromiter(map(len, pieces), np.int64, len(texts))
    if int(lengths.max()) > _LONGEST:
        return _one_by_one(texts)
    return _by_bytes(raw, lengths)


def _one_by_one(texts: Sequence[str]) -> Rows:
    places = {text: i for i, text in enumerate(sorted(set(texts)))}
    return np.fromiter(map(places.__getitem__, texts), np.int64, len(texts))


def _by_bytes(raw: bytes, lengths: Rows) -> Rows:
    """Rank slices that follow each other: UTF-8 sorts as its code points do, and what ends first comes first."""
    words = _words(raw, lengths)
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


def _words(raw: bytes, lengths: Rows) -> NDArray[np.uint64]:
    """Return the slices' bytes in rows of whole words, zeros behind each."""
    buffer, starts = padded(raw), starts_of(lengths)
    view = words_view(buffer)
    out = np.empty((len(lengths), -(-int(lengths.max()) // 8)), "<u8")
    for i in range(out.shape[1]):
        left = np.clip(lengths - 8 * i, 0, 8)
        out[:, i] = view[np.minimum(starts + 8 * i, len(view) - 1)] & WORD_MASKS[left]
    return out
