"""Ids that are all UUIDs: 16 bytes each, as they travel and as PostgreSQL has them, and texts only for who asks.

A text is 36 characters and an object of its own; who only counts ids, hashes them or hands them on needs none. Used by
`schemas.batches` and by what targets are given; `tests/unit/schemas/test_uuids.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np

from schemas.columns import UUID_CHARS, texts_of_uuids, uuid_texts

UUID_BYTES: Final = 16


class Uuids(Sequence[str]):
    """A sequence of texts in lower case. `raw`: 16 bytes each; raises ValueError for any other length."""

    __slots__ = ("_texts", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) % UUID_BYTES:
            raise ValueError(f"{len(raw)} bytes are no UUIDs of {UUID_BYTES} bytes each")
        self.raw = raw
        self._texts: tuple[str, ...] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The ids as texts, made once."""
        if self._texts is None:
            self._texts = tuple(texts_of_uuids(np.frombuffer(self.raw, np.uint8)))
        return self._texts

    def joined(self, between: str) -> bytes:
        """Return `between.join(self)` in ASCII, without a text for each. Raises UnicodeEncodeError for other text."""
        gap = between.encode("ascii")
        made = np.empty((len(self), UUID_CHARS + len(gap)), np.uint8)
        made[:, :UUID_CHARS] = uuid_texts(np.frombuffer(self.raw, np.uint8))
        made[:, UUID_CHARS:] = np.frombuffer(gap, np.uint8)
        return made.tobytes()[: made.size - len(gap)] if len(self) else b""

    def __len__(self) -> int:
        return len(self.raw) // UUID_BYTES

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        return self.texts[at]

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Uuids):
            return self.raw == other.raw
        return isinstance(other, list | tuple) and self.texts == tuple(other)

    def __hash__(self) -> int:
        return hash(self.texts)

    def __repr__(self) -> str:
        return f"Uuids(<{len(self)} ids>)"
