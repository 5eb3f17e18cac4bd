"""The one header of a sequenced record: who wrote it, in which life, and as which of its records.

Kafka offsets have holes (transaction markers, aborted records), so a reader cannot tell a lost record from a marker
by offsets. A sequenced writer numbers what it sends to each partition 1, 2, 3, … under an `incarnation` (any number
that it has not used there before); the receiving lane halts at a gap and drops a repeat.

Written by the gateway, the clock and every lane; read by `streams.lane.position`.
Proven by `tests/unit/schemas/test_sequence.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from schemas.errors import Halt

HEADER = "ebbtide-seq"

_NUMBERS = struct.Struct(">QQ")
_MAX_NUMBER = 2**64 - 1


class BadSequence(Halt):
    """A sequence header that none of our writers makes: whoever wrote it is not one of them."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One record's place among all records of `writer` for one partition of one topic.

    `incarnation` and `seq` are unsigned 64-bit numbers; `seq` counts from 1 in each incarnation.
    """

    writer: str
    incarnation: int
    seq: int

    def __post_init__(self) -> None:
        if not self.writer:
            raise BadSequence("a sequence header names no writer")
        if not 0 <= self.incarnation <= _MAX_NUMBER or not 1 <= self.seq <= _MAX_NUMBER:
            raise BadSequence(
                f"a sequence header of writer {self.writer!r} has a number outside 64 bits, or a seq of 0"
            )

    def encode(self) -> bytes:
        """The header's value: incarnation and seq, 8 bytes each, big endian, then the writer in UTF-8."""
        return _NUMBERS.pack(self.incarnation, self.seq) + self.writer.encode()

    @classmethod
    def decode(cls, value: bytes) -> Sequence:
        """Read a header's value. Raises BadSequence."""
        if len(value) <= _NUMBERS.size:
            raise BadSequence(f"a sequence header has {len(value)} bytes; at least {_NUMBERS.size + 1} are needed")
        incarnation, seq = _NUMBERS.unpack_from(value)
        try:
            writer = value[_NUMBERS.size :].decode()
        except UnicodeDecodeError as error:
            raise BadSequence("a sequence header's writer is not UTF-8") from error
        return cls(writer, incarnation, seq)
