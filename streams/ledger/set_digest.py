"""The digest of a set, whatever the order and the steps in which it is told: equal sets, and no others, are equal.

LtHash (Bellare and Micciancio 1997, with the parameters of Lewi et al., "Securing Update Propagation with Homomorphic
Hashing", IACR 2019/227): each member becomes 1024 numbers of 16 bits by SHAKE128, the numbers are added, and what comes
out is named by SHA-256. So a plan of millions of records is told in Steps, in 2 KiB of state, and nobody who may choose
record ids finds another set of the same digest. About 6 µs a member on one core.
Used by `brake_list`; `tests/unit/streams/ledger/test_set_digest.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256, shake_128
from typing import Final

import numpy as np

_LANES: Final = 1024
_WIDTH: Final = np.dtype("<u2")
_SIZE: Final = _LANES * _WIDTH.itemsize
_AT_ONCE: Final = 512


class SetDigest:
    """The members told so far. `state` goes on from one that was kept."""

    def __init__(self, state: bytes = b"") -> None:
        self._sum = np.frombuffer(state, _WIDTH).copy() if state else np.zeros(_LANES, _WIDTH)

    def add(self, members: Iterable[bytes]) -> None:
        """Add members, each once."""
        waiting: list[bytes] = []
        for member in members:
            waiting.append(shake_128(member).digest(_SIZE))
            if len(waiting) == _AT_ONCE:
                self._add(waiting)
                waiting = []
        if waiting:
            self._add(waiting)

    def _add(self, hashes: list[bytes]) -> None:
        rows = np.frombuffer(b"".join(hashes), _WIDTH).reshape(-1, _LANES)
        self._sum += rows.sum(axis=0, dtype=_WIDTH)

    @property
    def state(self) -> bytes:
        """What must be kept to go on, 2 KiB."""
        return self._sum.tobytes()

    def hex(self) -> str:
        """Return the digest: 64 hex digits."""
        return sha256(self.state).hexdigest()
