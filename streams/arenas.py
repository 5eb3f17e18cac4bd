"""Few heaps for many threads.

glibc gives a thread a heap of its own, up to eight a core, and what was freed in one serves no other. A ledger's
lanes, its clients and RocksDB are seventy threads: with fifteen heaps it took 540 MiB where two take 440, at the same
speed. Called by `ops.roles` for every role; `tests/unit/streams/test_arenas.py` says what it promises.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

FEW: Final = 2
_M_ARENA_MAX: Final = -8  # malloc.h


def few_arenas() -> bool:
    """Bound the heaps of this process from now on, and tell whether that was done.

    Nothing is done where MALLOC_ARENA_MAX says how many there shall be, or the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or "MALLOC_ARENA_MAX" in os.environ:
        return False
    return bool(mallopt(_M_ARENA_MAX, FEW))
