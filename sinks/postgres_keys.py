"""Keys of many records as arrays in PostgreSQL's own binary form, made at once and not value by value.

A text array costs the client a microsecond an element to quote and the server as much again to parse and cast. Used by
`sinks.postgres_together`; `tests/unit/sinks/test_postgres_keys.py` says what it promises.
"""

from __future__ import annotations

import struct
from binascii import unhexlify
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.postgres import types
from psycopg.pq import Format

from schemas.uuids import UUID_BYTES, Uuids
from sinks.postgres_table import Column, Key, parse_key

_UUID: Final = "uuid"
_INTEGERS: Final = {"int2": ">i2", "int4": ">i4", "int8": ">i8"}
_HEADER: Final = struct.Struct(">iiIii")
"""Of an array of one dimension: dimensions, whether it has nulls, the elements' type, their number, the first index."""

_HEX, _DASH, _END = 1, 2, 3
_KIND: Final = np.zeros(256, np.uint8)
_KIND[np.frombuffer(b"0123456789abcdefABCDEF", np.uint8)] = _HEX
_KIND[ord("-")], _KIND[ord("\n")] = _DASH, _END
_WRITTEN: Final = np.array([_DASH if at in (8, 13, 18, 23) else _HEX for at in range(36)] + [_END], np.uint8)
"""What stands where in a UUID as text, and behind it."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Some elements of an array, each with its length before it; a record that is named twice may be there twice."""

    count: int
    elements: bytes = field(repr=False)


class ArrayParameter:
    """A binary array as a parameter; the statement casts it to the array's type, of which `base` names an element."""

    def __init__(self, base: str, parts: Iterable[Packed], *, ordered: bool = False) -> None:
        """With `ordered` the elements are in about the order of their index, as far as that is known: the server sorts
        keys that it looks for, and sorted ones are sorted soon."""
        parts = list(parts)
        count = sum(part.count for part in parts)
        header = _HEADER.pack(1, 0, types[base].oid, count, 1)
        if ordered and count and base == _UUID:  # texts are in the order of a collation
            self.data: Buffer = _in_order(header, count, b"".join(part.elements for part in parts))
        else:
            self.data = b"".join([header, *(part.elements for part in parts)])


class _ArrayDumper(Dumper):
    format = Format.BINARY
    oid = 0  # the cast says it

    def dump(self, obj: ArrayParameter) -> Buffer:
        return obj.data


def adapt(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Let `ArrayParameter` be a parameter of this connection's statements."""
    connection.adapters.register_dumper(ArrayParameter, _ArrayDumper)


def packed(column: Column, record_ids: Sequence[str]) -> Packed:
    """Return those of `record_ids` that can be a value of `column`."""
    if column.base == _UUID and isinstance(record_ids, Uuids):
        return _elements_of(np.frombuffer(record_ids.raw, np.uint8))
    if column.base == _UUID and (found := _uuids(record_ids)) is not None:
        return found
    keys = dict.fromkeys(key for text in record_ids if (key := parse_key(column.base, text)) is not None)
    return elements(column, list(keys))


def elements(column: Column, keys: Sequence[Key]) -> Packed:
    """Return values of `column`'s type, which `parse_key` made, as elements."""
    if column.base == _UUID:
        found = _uuids([str(key) for key in keys])
        assert found is not None
        return found
    if column.base in _INTEGERS:
        numbers = np.array(keys, _INTEGERS[column.base])
        return Packed(len(keys), _with_lengths(numbers.view(np.uint8).reshape(len(keys), numbers.dtype.itemsize)))
    parts = []
    for key in keys:
        text = str(key).encode()
        parts += [len(text).to_bytes(4, "big"), text]
    return Packed(len(keys), b"".join(parts))


def _uuids(texts: Sequence[str]) -> Packed | None:
    """Return UUIDs, None if one of the texts is none."""
    if not texts:
        return Packed(0, b"")
    try:
        raw = ("\n".join(texts) + "\n").encode("ascii")
    except UnicodeEncodeError:
        return None
    if len(raw) != len(texts) * len(_WRITTEN):
        return None
    if not (_KIND[np.frombuffer(raw, np.uint8)].reshape(len(texts), -1) == _WRITTEN).all():
        return None
    return _elements_of(np.frombuffer(unhexlify(raw.translate(None, b"-\n")), np.uint8))


def _elements_of(uuids: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Packed:
    values = uuids.reshape(-1, UUID_BYTES)
    return Packed(len(values), _with_lengths(values))


def _in_order(header: bytes, count: int, elements: bytes) -> memoryview:
    """Return `header` and UUIDs sorted by their first half, in one piece."""
    rows = np.frombuffer(elements, np.dtype((np.void, 4 + UUID_BYTES)))
    halves = rows.view(np.uint8).reshape(count, -1)[:, 4:12].copy().view(">u8")[:, 0].astype(np.uint64)
    made = np.empty(len(header) + len(elements), np.uint8)
    made[: len(header)] = np.frombuffer(header, np.uint8)
    rows.take(
        np.argsort(halves), out=made[len(header) :].view(rows.dtype), mode="clip"
    )  # as is: else it goes over a copy
    return made.data


def _with_lengths(values: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> bytes:
    count, size = values.shape
    made = np.empty((count, 4 + size), np.uint8)
    made[:, :4] = np.frombuffer(size.to_bytes(4, "big"), np.uint8)
    made[:, 4:] = values
    return made.tobytes()
