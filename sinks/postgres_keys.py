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
from psycopg.adapt import Dumper
from psycopg.postgres import types
from psycopg.pq import Format

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
        elements = b"".join(part.elements for part in parts)
        if ordered and count:
            elements = _in_order(base, count, elements)
        self.data = _HEADER.pack(1, 0, types[base].oid, count, 1) + elements


class _ArrayDumper(Dumper):
    format = Format.BINARY
    oid = 0  # the cast says it

    def dump(self, obj: ArrayParameter) -> bytes:
        return obj.data


def adapt(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Let `ArrayParameter` be a parameter of this connection's statements."""
    connection.adapters.register_dumper(ArrayParameter, _ArrayDumper)


def packed(column: Column, record_ids: Sequence[str]) -> Packed:
    """Return those of `record_ids` that can be a value of `column`."""
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
    values = np.frombuffer(unhexlify(raw.translate(None, b"-\n")), np.uint8)
    return Packed(len(texts), _with_lengths(values.reshape(len(texts), 16)))


def _in_order(base: str, count: int, elements: bytes) -> bytes:
    """Sort UUIDs by their first half; others stay: texts are in the order of a collation."""
    if base != _UUID:
        return elements
    rows = np.frombuffer(elements, np.uint8).reshape(count, 4 + 16)
    halves = np.ascontiguousarray(rows[:, 4:12]).view(">u8")[:, 0].astype(np.uint64)
    return rows[np.argsort(halves)].tobytes()


def _with_lengths(values: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> bytes:
    count, size = values.shape
    made = np.empty((count, 4 + size), np.uint8)
    made[:, :4] = np.frombuffer(size.to_bytes(4, "big"), np.uint8)
    made[:, 4:] = values
    return made.tobytes()
