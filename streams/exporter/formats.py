"""Rows as JSON Lines and as CSV. Pure: the same rows give the same bytes.

Used by `streams.exporter.outputs`; docs/exports.md has the table of values.
`tests/unit/streams/exporter/test_formats.py` says what they promise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from typing import Final, Protocol

from sinks.export import Json, Value
from streams.exporter.csvcells import cell

JSON: Final = "json"
CSV: Final = "csv"
ZIP: Final = "zip"
MISSING: Final = "missing"


class Format(Protocol):
    """One way to write rows of fixed columns."""

    def head(self) -> bytes:
        """Return what stands before the first row."""
        ...

    def line(self, values: Sequence[Value]) -> bytes:
        """Return one row."""
        ...


class JsonLines:
    """One JSON object a line, UTF-8: https://jsonlines.org."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._names = [("{" if n == 0 else ",") + encode_basestring(name) + ":" for n, name in enumerate(columns)]

    def head(self) -> bytes:
        return b""

    def line(self, values: Sequence[Value]) -> bytes:
        text = "".join([name + _json(value) for name, value in zip(self._names, values, strict=True)]) + "}\n"
        try:
            return text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, as cut texts end with: it stays the escape that it was
            return "".join(json.dumps(c)[1:-1] if "\ud800" <= c <= "\udfff" else c for c in text).encode()


class Csv:
    """RFC 4180 with a header line and CRLF; see `streams.exporter.csvcells`."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        return self.line(tuple(self._columns))

    def line(self, values: Sequence[Value]) -> bytes:
        # Half a surrogate pair has no UTF-8: it is written as its JSON escape.
        return (",".join(map(cell, values)) + "\r\n").encode(errors="backslashreplace")


def _json(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, Json):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode_basestring(value)


FORMATS: Final[Mapping[str, type[JsonLines] | type[Csv]]] = {JSON: JsonLines, CSV: Csv}
"""What may be asked for."""

SUFFIXES: Final[Mapping[str, str]] = {
    JSON: ".jsonl.gz",
    CSV: ".csv.gz",
    ZIP: ".zip",
    MISSING: ".missing.jsonl.gz",
}

CONTENT_TYPES: Final[Mapping[str, str]] = {
    JSON: "application/gzip",
    CSV: "application/gzip",
    ZIP: "application/zip",
    MISSING: "application/gzip",
}
