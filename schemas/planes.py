"""Numbers and ids by planes of bytes: all first bytes, then all second bytes; and differences from row to row.

What repeats in them repeats by place, so it compresses better so. Pure; used by `schemas.bodies` and what is laid out
like it; `tests/unit/schemas/test_planes.py` says what it promises.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.ragged import Bytes, Rows

_UNSIGNED: Final = {width: np.dtype(f"<u{width}") for width in (1, 2, 4, 8)}
_MANY: Final = 128
"""For each byte that a value has: of fewer, a copy for each plane costs more than it saves."""


def planes(values: NDArray[Any], width: int) -> bytes:
    """Return unsigned `values` as `width` planes of bytes, the lowest first."""
    return matrix_of(values, width).T.tobytes()


def matrix_of(values: NDArray[Any], width: int) -> Bytes:
    """Return the `width` low bytes of unsigned `values`, a row each: the planes of some are those rows', turned."""
    matrix: Bytes = values.astype(_UNSIGNED[width]).view(np.uint8).reshape(-1, width)
    return matrix


def from_planes(data: Bytes, n: int, width: int) -> NDArray[Any]:
    """Turn `planes` of n values back."""
    return values_of(data, n, width).reshape(-1).view(_UNSIGNED[width])


def values_of(data: Bytes, n: int, width: int) -> Bytes:
    """Return the bytes of n values of `width` bytes, a row each, from their planes."""
    values = np.empty((n, width), np.uint8)
    write_values(values, data.reshape(width, n))
    return values


def write_values(values: Bytes, turned: Bytes) -> None:
    """Write planes, a row each, into `values`, a row each as well.

    numpy turns a large matrix at a third of the speed at which it copies one plane after the other, above all where
    planes lie a multiple of 4 KiB apart, as those of a full segment do.
    """
    if len(values) < _MANY * values.shape[1]:
        values[:] = turned.T
        return
    for place, plane in enumerate(turned):
        values[:, place] = plane


def zigzag_differences(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the differences from row to row of u32 `values`, small whichever their sign."""
    whole = values.astype(np.uint32)
    steps = whole.copy()
    steps[1:] -= whole[:-1]
    return zigzag(steps)


def zigzag(steps: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return differences modulo 2^32, small whichever their sign."""
    signed = steps.view(np.int32)
    folded: NDArray[np.uint32] = ((signed << 1) ^ (signed >> 31)).view(np.uint32)
    return folded


def undo_differences(folded: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Turn `zigzag_differences` back."""
    return np.cumsum(_unfold(folded), dtype=np.uint32)


def undo_differences_of_runs(folded: NDArray[np.uint32], sizes: Rows) -> NDArray[np.uint32]:
    """Turn `zigzag_differences` of runs of `sizes` rows back, which all begin anew."""
    sums = np.cumsum(_unfold(folded), dtype=np.uint32)
    before = np.concatenate((np.zeros(1, np.uint32), sums))[np.cumsum(sizes) - sizes]
    values: NDArray[np.uint32] = sums - np.repeat(before, sizes)
    return values


def _unfold(folded: NDArray[np.uint32]) -> NDArray[np.uint32]:
    steps: NDArray[np.uint32] = (folded >> np.uint32(1)) ^ (np.uint32(0) - (folded & np.uint32(1)))
    return steps
