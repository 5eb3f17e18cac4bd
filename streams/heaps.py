"""How this process uses the C library's heaps: few of them, for many threads, and what was freed stays at hand.

glibc gives a thread a heap of its own, up to eight a core, and what was freed in one serves no other. A ledger's
lanes, its clients and RocksDB are seventy threads: with fifteen heaps it took 540 MiB where two take 440, at the same
speed. And it gives large blocks back to the system as soon as they are free, and the end of a heap when twice as much
is: a gateway, whose packs are columns of some MiB each, got tens of thousands of fresh pages a pack, which took a tenth
of its CPU to be mapped and cleared. Its peak, which is what must fit, is the same.

Called by `ops.roles` for every role; `tests/unit/streams/test_heaps.py` says what it promises.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final, NamedTuple

FEW: Final = 2
_MIB: Final = 1 << 20


class _Setting(NamedTuple):
    """A parameter of `mallopt` (malloc.h), its value, and how an operator may say another: variable and tunable."""

    parameter: int
    value: int
    variable: str
    tunable: str


_ARENAS: Final = _Setting(-8, FEW, "MALLOC_ARENA_MAX", "glibc.malloc.arena_max")
_KEPT: Final = (
    _Setting(-3, 32 * _MIB, "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),  # more is refused by older ones
    _Setting(-1, 256 * _MIB, "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold"),
)
"""One choice: each of them ends that both follow what is freed, and alone is worse than nothing."""


def set_up_heaps(*, keep: bool = False) -> list[str]:
    """Say how heaps are used from now on, and return the names of what was said, as glibc's variables have them.

    `keep`: up to 256 MiB that are free stay with the process; for those who need as much again and again. What an
    operator says, in these variables or in GLIBC_TUNABLES, stands; where the C library is another one nothing is said.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return []
    said = []
    for choice in ((_ARENAS,), _KEPT) if keep else ((_ARENAS,),):
        if any(map(_is_said, choice)):
            continue
        for setting in choice:
            if not mallopt(setting.parameter, setting.value):
                break
            said.append(setting.variable)
    return said


def _is_said(setting: _Setting) -> bool:
    return setting.variable in os.environ or setting.tunable in os.environ.get("GLIBC_TUNABLES", "")
