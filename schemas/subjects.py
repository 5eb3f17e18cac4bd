"""Subject references: what is stored in the place of a person's id.

SipHash-2-4 of the id's UTF-8 under a key of its own for each org, derived from a master key by BLAKE2b (RFC 7693,
keyed, with a person string). So equal people of two orgs cannot be matched, and without the master nothing can be
tried. `version` is the master key's: requests are hashed under every live version.
`tests/unit/schemas/test_subjects.py` says what it promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Refused
from schemas.ragged import padded, siphash24, starts_of

MAX_SUBJECT_BYTES = 1024
MAX_ORG_BYTES = 256
_PERSON = b"ebbtide subject"


@dataclass(frozen=True)
class SubjectKeys:
    """The keys of all orgs under one master key of 16 to 64 bytes."""

    master: bytes = field(repr=False)
    version: int = 1
    _known: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _keyed: hashlib.blake2b = field(init=False, repr=False, compare=False)
    """Has heard the master key and the version: a copy of it costs half of what one made anew does."""

    def __post_init__(self) -> None:
        if not 16 <= len(self.master) <= 64:
            raise Refused(f"subject master key: it has {len(self.master)} bytes; give 16 to 64 random ones")
        keyed = hashlib.blake2b(self.version.to_bytes(4, "big"), digest_size=16, key=self.master, person=_PERSON)
        object.__setattr__(self, "_keyed", keyed)

    def of(self, org: str) -> tuple[int, int]:
        """Return the org's 128-bit key as two 64-bit numbers."""
        key = self._key(org)
        return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")

    def of_all(self, orgs: Sequence[bytes]) -> NDArray[np.uint64]:
        """Return the keys of many orgs, given by their names' bytes, a row of two numbers each; none is kept."""
        return np.frombuffer(b"".join(map(self._hashed, orgs)), "<u8").reshape(-1, 2)

    def _key(self, org: str) -> bytes:
        key = self._known.get(org)
        if key is None:
            key = self._hashed(org.encode())
            if len(self._known) >= 1 << 18:
                self._known.clear()
            if len(org) <= MAX_ORG_BYTES:  # no org has a longer name: it was asked for by an event that is refused
                self._known[org] = key
        return key

    def _hashed(self, org: bytes) -> bytes:
        hashed = self._keyed.copy()
        hashed.update(org)
        return hashed.digest()

    def ref(self, org: str, subject: str) -> int:
        """Return the reference of one subject, 64 bits."""
        k0, k1 = (np.array([k], np.uint64) for k in self.of(org))
        raw = subject.encode()
        return int(siphash24(padded(raw), np.zeros(1, np.int64), np.array([len(raw)]), k0, k1)[0])

    def refs(self, org: str, subjects: Sequence[str]) -> list[int]:
        """Return the references of many subjects, in their order."""
        raw = [subject.encode() for subject in subjects]
        lengths = np.array([len(r) for r in raw], np.int64)
        k0, k1 = (np.full(len(raw), k, np.uint64) for k in self.of(org))
        return [int(ref) for ref in siphash24(padded(b"".join(raw)), starts_of(lengths), lengths, k0, k1)]


def pack_refs(refs: Sequence[int]) -> bytes:
    """Return references as commands carry them: 8 bytes each, little-endian, each once, in ascending order."""
    return b"".join(ref.to_bytes(8, "little") for ref in sorted(set(refs)))
