"""CSV cells that no spreadsheet runs, and that can be turned back (RFC 4180; OWASP, "CSV Injection"). Pure.

A text cell gets an apostrophe before each sign that could begin a formula, where a cell could begin: at its own
beginning, and after whatever another reader may take for a separator, a quote or a line's end. Apostrophes in those
places get one more, so that `plain` can take away exactly what `guarded` has put there. Used by
`streams.exporter.formats`; `tests/unit/streams/exporter/test_csvcells.py` says what it promises.
"""

from __future__ import annotations

import re
from typing import Final

from sinks.export import Json, Value

_BEGINS: Final = "=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet may take for a formula, half and full width."""
_ENDS: Final = '[,;|"\\t\\r\\n]'
"""After what a reader with other settings than ours may begin a new cell."""

_FIRST: Final = re.compile(rf"[{_BEGINS}']")
_LATER: Final = re.compile(rf"({_ENDS})(?=[{_BEGINS}'])")  # begins with one sign: quickly looked for in long texts
_GUARD: Final = re.compile(rf"({_ENDS})'")
_NUMBER: Final = re.compile(r"-?[0-9]")


def guarded(text: str) -> str:
    """Return `text` with nothing in it that could begin a formula."""
    later = _LATER.sub(r"\1'", text)
    return "'" + later if _FIRST.match(text) else later


def plain(text: str) -> str:
    """Return what `guarded` was given."""
    return _GUARD.sub(r"\1", text.removeprefix("'"))


def cell(value: Value) -> str:
    """Return one cell: nothing for null, numbers and booleans bare, everything else guarded and quoted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Json) and _NUMBER.match(value):
        return value
    return '"' + guarded(value).replace('"', '""') + '"'
