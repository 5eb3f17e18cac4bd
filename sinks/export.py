"""What a target is asked for in an export, and what it gives back: a stream of rows or of objects, never a whole.

Values are what JSON has: null, boolean, text, and `Json` for all that is JSON already (numbers with all their digits,
nested values), so that nothing is rounded on the way. Used by every sink's `export` and by `streams.exporter`;
`tests/contract/test_export.py` says what every kind promises.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

NOT_FOUND: Final = "not_found"
CANNOT: Final = "cannot"
NO_PLAN: Final = "no_plan"
ARCHIVED: Final = "archived"

MISSING: Final[Mapping[str, str]] = {
    NOT_FOUND: "The store has no such record of this org now.",
    CANNOT: "An outside service is not ours to read.",
    NO_PLAN: "The data map does not bind the category to the target.",
    ARCHIVED: "An object lies in a storage class from which it must be restored first.",
}
"""Why a record of the ledger's list is not in an archive: a closed list."""


class Json(str):
    """Text that is one JSON value on one line."""

    __slots__ = ()


Value = bool | str | Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Records of one org and category, as the ledger names them; no id twice.

    `lines`: nothing but JSON Lines is wanted, so a store that can write them itself may answer with `Lines`.
    """

    org: str
    category: str
    record_ids: tuple[str, ...] = field(repr=False)
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the record at ordinal `index` of `Wanted.record_ids`; a record may have several."""

    index: int
    values: tuple[Value, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One object of a record. `chunks` must be read to its end before the next object; it raises SinkUnavailable.

    `name` is what the customer may call it: the record id, or a path below it; `size` in bytes.
    """

    index: int
    name: str = field(repr=False)
    key: str = field(repr=False)
    size: int
    content_type: str
    metadata: Mapping[str, str] = field(repr=False)
    chunks: Iterator[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Left:
    """A record that the store has and does not return, and a reason of `MISSING`."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with the same columns. Whoever stops early closes `rows`."""

    columns: tuple[str, ...]
    rows: Generator[Row | Left, None, None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, each a line as docs/exports.md has it."""

    lines: bytes = field(repr=False)
    rows: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows as the store itself writes them. A record of which there is no row is named as `Left`, every other has some.

    Whoever stops early closes `chunks`.
    """

    chunks: Generator[Chunk | Left, None, None]


@dataclass(frozen=True, slots=True)
class Blobs:
    """Objects. Whoever stops early closes `blobs`."""

    blobs: Generator[Blob | Left, None, None]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Nothing of this target can be read, for a reason of `MISSING`."""

    reason: str


Exported = Rows | Lines | Blobs | Unreadable


def value_of(value: object) -> Value:
    """Return a Python value as one that an archive can hold, in the forms of docs/exports.md."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return Json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def one_line(text: str) -> Json:
    """Return JSON text without line ends and tabs: JSON has them outside of strings alone, where they mean nothing."""
    return Json(text.translate(_BLANKS) if not text.isprintable() else text)


_BLANKS: Final = str.maketrans("\r\n\t", "   ")
