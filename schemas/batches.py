"""Erasure batches as messages: what `Codec` makes of an `ErasureBatch`, to the byte, without a text for each record.

A batch names a thousand records, nearly always by UUIDs that lie in binary in a segment. Its last field is the list of
their names, so it is written as one block of equal rows. Used by the ledger; `tests/unit/schemas/test_batches.py` says
what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ebbtide.wire import Codec
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
