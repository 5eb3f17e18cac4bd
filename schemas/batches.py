"""Erasure batches as messages: what `Codec` makes of an `ErasureBatch`, to the byte, without a text for each record.

A batch names a thousand records, nearly always by UUIDs that lie in binary in a segment. Its last field is the list of
their names, so it is written as one block of equal rows, and who only wants to know of which batch it is need not read
it. Used by the ledger and the bench; `tests/unit/schemas/test_batches.py` says what it promises.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

import fastavro
import numpy as np
from fastavro.types import Schema

from ebbtide.wire import HEADER, Codec, WireError, read_schema
from schemas.columns import UUID_CHARS, Ids, write_uuid_texts

_SCHEMA: Final = "ErasureBatch"
_NONE: Final = b"\0"
"""An Avro array without items, as it ends one that has some: a block of none."""


def encode_batch(codec: Codec, head: Mapping[str, Any], ids: Ids | Sequence[str]) -> bytes:
    """Return the message of a batch: `head`, all fields of an `ErasureBatch` but its `record_ids`, and those."""
    if not isinstance(ids, Ids):
        return codec.encode(_SCHEMA, {**head, "record_ids": ids})
    if not len(ids) or not ids.all_uuid():
        return codec.encode(_SCHEMA, {**head, "record_ids": ids.texts()})
    empty = codec.encode(_SCHEMA, {**head, "record_ids": []})
    items = np.empty((len(ids), 1 + UUID_CHARS), np.uint8)
    items[:, 0] = 2 * UUID_CHARS  # Avro's zigzag of a text's length, below 128 one byte
    write_uuid_texts(ids.data, items[:, 1:])
    return b"".join((empty.removesuffix(_NONE), _long(len(ids)), items.tobytes(), _NONE))


def _long(number: int) -> bytes:
    """Return a number from 0 on as Avro writes it: zigzag, then seven bits a byte, the lowest first."""
    left, out = 2 * number, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def decode_batch(codec: Codec, value: bytes) -> dict[str, Any]:
    """Return the fields of an `ErasureBatch`: what `codec.decode` does, without a call for each id of a regular one.

    Raises WireError; that it is such a message is for the caller to know (`Codec.name_of`).
    """
    found = _with_ids_of_one_length(value)
    return codec.decode(value)[1] if found is None else found


def _with_ids_of_one_length(value: bytes) -> dict[str, Any] | None:
    """Return its fields, None where its ids are of several lengths or not ASCII, or something is wrong with it."""
    try:
        head, count, at = _head_of(value)
    except WireError:
        return None
    width = value[at] // 2 if at < len(value) else 0
    step, end = 1 + width, at + count * (1 + width)
    if count < 1 or not width or value[end:] != _NONE or value[at:end:step] != bytes((2 * width,)) * count:
        return None
    ids = value[at:end]
    if not ids.isascii():
        return None
    text = ids.decode("ascii")
    return {**head, "record_ids": [text[first : first + width] for first in range(1, len(text), step)]}


def head_of(value: bytes) -> tuple[dict[str, Any], int]:
    """Return the fields of an `ErasureBatch` but its `record_ids`, and how many of those there are.

    The ids are not looked at. Raises WireError; that it is such a message is for the caller to know (`Codec.name_of`).
    """
    head, count, _ = _head_of(value)
    return head, count


def _head_of(value: bytes) -> tuple[dict[str, Any], int, int]:
    """Return the same, and where the ids begin."""
    body = io.BytesIO(value)
    body.seek(HEADER.size)
    try:
        head = cast(dict[str, Any], fastavro.schemaless_reader(body, _head_schema(), None))
        count = int(cast(int, fastavro.schemaless_reader(body, "long", None)))
    except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as e:
        raise WireError(f"its body is not Avro of schema {_SCHEMA}: {type(e).__name__}") from None
    if count < 0:
        raise WireError(f"the ids of an {_SCHEMA} are in blocks with a size, which nobody writes")
    return head, count, body.tell()


@cache
def _head_schema() -> Schema:
    """Return the schema of an `ErasureBatch` without its last field."""
    whole = cast(dict[str, Any], read_schema("schemas", _SCHEMA))
    fields = [field for field in whole["fields"] if field["name"] != "record_ids"]
    return cast(Schema, fastavro.parse_schema({**whole, "name": f"{_SCHEMA}Head", "fields": fields}, named_schemas={}))
