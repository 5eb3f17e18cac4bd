"""How this process uses the C library's heaps: few of them, for many threads, and what was freed stays at hand.

glibc gives a thread a heap of its own, up to eight a core, and what was freed in one serves no other. A ledger's
lanes, its clients and RocksDB are seventy threads: with fifteen heaps it took 540 MiB where two take 440, at the same
speed. And it gives large blocks back to the system as soon as they are free, and the end of a heap when twice as much
is: a gateway, whose packs are columns of some MiB each, got hundreds of thousands of fresh pages a second, which took
a tenth of its CPU to be mapped and cleared. Its peak, which is what must fit, is the same.

Called by `ops.roles` for every role; `tests/unit/streams/test_heaps.py` says what it promises.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final, NamedTuple

FEW: Final = 2
_MIB: Final = 1 << 20


class _Setting(NamedTuple):
    """A parameter of `mallopt` (malloc.h), its value, and the variable by which an operator may say another."""

    parameter: int
    value: int
    variable: str


_SETTINGS: Final = (
    _Setting(-8, FEW, "MALLOC_ARENA_MAX"),
    _Setting(-3, 32 * _MIB, "MALLOC_MMAP_THRESHOLD_"),  # the most that glibc takes
    _Setting(-1, 256 * _MIB, "MALLOC_TRIM_THRESHOLD_"),
)


def set_up_heaps() -> list[str]:
    """Say how heaps are used from now on, and return the names of what was said, as glibc's variables have them.

    What such a variable says stands; where the C library is another one nothing is said.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return []
    return [s.variable for s in _SETTINGS if s.variable not in os.environ and mallopt(s.parameter, s.value)]
