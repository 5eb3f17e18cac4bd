"""Subject ids from a file or a body, a line each, as the bytes come: checked one by one, named by their line alone.

`text/plain`: the line is the id. `text/csv`: one column, quoted where it must be (RFC 4180), with a header where the
media type says `header=present` (RFC 7111). JSON Lines: a JSON string. Lines without anything are passed over, a
person that is named twice counts once. Pure; used by `ops.cli.subjects` and `ops.api.bulk`;
`tests/unit/ops/test_subject_lines.py` says what it promises.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from typing import Final

from ebbtide.events import MAX_ID_BYTES
from schemas.errors import Refused

MAX_LINE_BYTES: Final = 16 * MAX_ID_BYTES
"""More than an id takes in any of the forms, escaped or quoted throughout."""

_BOM: Final = b"\xef\xbb\xbf"


class BadLine(Refused):
    """A line that is no subject's id. The text holds its number and nothing of what is in it."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"line {number}: {what}")
        self.number, self.what = number, what


class TooManySubjects(Refused):
    """There are more ids than are taken."""


class _Not(Exception):
    """Why a line is no id."""


def _plain(line: str) -> str:
    return line


def _csv(line: str) -> str:
    if '"' not in line and "," not in line:
        return line
    try:
        (columns,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        raise _Not("is no line of CSV: a quote is not closed, or stands where none may") from None
    if len(columns) != 1:
        raise _Not(f"has {len(columns)} columns; write one id a line")
    return columns[0]


def _json(line: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise _Not("is no JSON") from None
    if not isinstance(value, str):
        raise _Not("is no JSON string; write one id a line")
    return value


FORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "text/plain": _plain,
    "text/csv": _csv,
    "application/jsonl": _json,
    "application/x-ndjson": _json,
}
"""What makes an id of a line, by media type."""


class SubjectLines:
    """Takes bytes as they come. `most`: how many ids are taken, each counted once; None: however many there are."""

    def __init__(self, media: str = "text/plain", *, header: bool = False, most: int | None = None) -> None:
        self._of_line = FORMS[media]
        self._skip = 1 if header else 0
        self._most = most
        self._rest = b""
        self._number = 0
        self._found: dict[str, None] = {}

    def feed(self, data: bytes) -> None:
        """Take what has come. Raises BadLine, TooManySubjects."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self._take(self._rest)

    def end(self) -> list[str]:
        """Return every id once, in the order in which they came. Raises BadLine, TooManySubjects."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        return list(self._found)

    def _take(self, line: bytes) -> None:
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(_BOM)
        if self._number <= self._skip or not line.strip():
            return
        try:
            if len(line) > MAX_LINE_BYTES:
                raise _Not(f"has more bytes than an id, which has at most {MAX_ID_BYTES}")
            self._found[_id(self._of_line(line.removesuffix(b"\r").decode()))] = None
        except UnicodeDecodeError:
            raise BadLine(self._number, "is no UTF-8") from None
        except _Not as why:
            raise BadLine(self._number, str(why)) from None
        if self._most is not None and len(self._found) > self._most:
            raise TooManySubjects(f"there are more than {self._most} ids: split them")


def _id(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _Not("is not text that UTF-8 can hold") from None
    if not 0 < size <= MAX_ID_BYTES:
        raise _Not(f"is an id of {size} bytes; 1 to {MAX_ID_BYTES} are allowed")
    return text
