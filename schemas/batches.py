"""Erasure batches as messages, without a call for each record.

A batch names very many records, nearly always by UUIDs that lie in binary in a segment. So they go as they lie, 16
bytes each instead of 37, and become texts where a target wants them. The ids are a batch's last fields: who only wants
to know of which batch it is need not read them. Used by the ledger, targets and the bench;
`tests/unit/schemas/test_batches.py` says what it promises.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

import fastavro
from fastavro.types import Schema

from ebbtide.wire import HEADER, Codec, WireError, read_schema
from schemas.columns import Ids
from schemas.uuids import UUID_BYTES, Uuids

_SCHEMA: Final = "ErasureBatch"
_IDS: Final = ("record_ids", "uuids")
_UUID: Final = re.compile("[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch
_ENDS: Final = b"\0\0"
"""Behind ids that are texts: a block of none, which ends the array, and no UUIDs."""


def encode_batch(codec: Codec, head: Mapping[str, Any], ids: Ids | Sequence[str]) -> bytes:
    """Return the message of a batch: `head`, all fields of an `ErasureBatch` but its ids, and those.

    The same ids make the same bytes, whether they come as columns or as texts.
    """
    if isinstance(ids, Ids):
        uuids = ids.data.tobytes() if ids.all_uuid() else b""
    else:
        uuids = bytes.fromhex("".join(ids).replace("-", "")) if all(map(_UUID, ids)) else b""
    texts = [] if uuids else ids.texts() if isinstance(ids, Ids) else ids
    return codec.encode(_SCHEMA, {**head, "record_ids": texts, "uuids": uuids})


def decode_batch(codec: Codec, value: bytes) -> dict[str, Any]:
    """Return the fields of an `ErasureBatch`, `record_ids` a sequence of texts however they came.

    Raises WireError; that it is such a message is for the caller to know (`Codec.name_of`).
    """
    found = _with_ids_of_one_kind(value)
    return with_texts(codec.decode(value)[1]) if found is None else found


def with_texts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `ErasureBatch` that is decoded already, with all its ids in `record_ids`. Raises WireError."""
    head = {name: value for name, value in record.items() if name not in _IDS}
    texts, uuids = record["record_ids"], record["uuids"]
    if not uuids:
        return {**head, "record_ids": texts}
    if len(uuids) % UUID_BYTES or texts:
        raise WireError(f"its body is not an {_SCHEMA}: {len(uuids)} bytes of UUIDs beside {len(texts)} texts")
    return {**head, "record_ids": Uuids(uuids)}


def _with_ids_of_one_kind(value: bytes) -> dict[str, Any] | None:
    """Return its fields, None where its ids are neither UUIDs nor texts of one length in ASCII, or something is wrong
    with it."""
    try:
        head, count, at = _head_of(value)
        ids = _uuids(value, at) if count == 0 else _texts_of_one_length(value, count, at)
    except WireError:
        return None
    return None if ids is None else {**head, "record_ids": ids}


def _uuids(value: bytes, at: int) -> Uuids | None:
    body = io.BytesIO(value)
    body.seek(at)
    size, at = _long(body), body.tell()
    return Uuids(value[at:]) if size == len(value) - at and size > 0 and size % UUID_BYTES == 0 else None


def _texts_of_one_length(value: bytes, count: int, at: int) -> list[str] | None:
    width = value[at] // 2 if at < len(value) else 0
    step, end = 1 + width, at + count * (1 + width)
    if not width or value[end:] != _ENDS or value[at:end:step] != bytes((2 * width,)) * count:
        return None
    ids = value[at:end]
    if not ids.isascii():
        return None
    text = ids.decode("ascii")
    return [text[first : first + width] for first in range(1, len(text), step)]


def head_of(value: bytes) -> tuple[dict[str, Any], int]:
    """Return the fields of an `ErasureBatch` but its ids, and how many of those there are.

    The ids are not looked at. Raises WireError; that it is such a message is for the caller to know (`Codec.name_of`).
    """
    head, count, at = _head_of(value)
    return head, count or _long(io.BytesIO(value[at : at + 10])) // UUID_BYTES


def _head_of(value: bytes) -> tuple[dict[str, Any], int, int]:
    """Return the same, 0 where they are UUIDs, and where what follows their number begins."""
    body = io.BytesIO(value)
    body.seek(HEADER.size)
    try:
        head = cast(dict[str, Any], fastavro.schemaless_reader(body, _head_schema(), None))
    except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as e:
        raise WireError(f"its body is not Avro of schema {_SCHEMA}: {type(e).__name__}") from None
    count = _long(body)
    if count < 0:
        raise WireError(f"the ids of an {_SCHEMA} are in blocks with a size, which nobody writes")
    return head, count, body.tell()


def _long(body: io.BytesIO) -> int:
    try:
        return int(cast(int, fastavro.schemaless_reader(body, "long", None)))
    except (EOFError, IndexError, OverflowError) as e:
        raise WireError(f"its body is not Avro of schema {_SCHEMA}: {type(e).__name__}") from None


@cache
def _head_schema() -> Schema:
    """Return the schema of an `ErasureBatch` without its last fields."""
    whole = cast(dict[str, Any], read_schema("schemas", _SCHEMA))
    fields = [field for field in whole["fields"] if field["name"] not in _IDS]
    return cast(Schema, fastavro.parse_schema({**whole, "name": f"{_SCHEMA}Head", "fields": fields}, named_schemas={}))
