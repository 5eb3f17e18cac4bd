"""The objects of one part in the making: begun with their first row, finished together, aborted together.

Used by `streams.exporter.parts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sinks.base import SinkUnavailable
from sinks.export import Blob, Value
from streams.exporter.bucket import ExportBucket, Stored, Upload
from streams.exporter.formats import CONTENT_TYPES, FORMATS, JSON, MISSING, ZIP, Format
from streams.exporter.names import Names
from streams.exporter.packing import Lines, Objects
from streams.exporter.work import Work


@dataclass(slots=True)
class _Table:
    """Rows in one format."""

    format: Format
    lines: Lines


class Outputs:
    """A context: what was begun and not finished when it ends is aborted."""

    def __init__(self, bucket: ExportBucket, names: Names, work: Work) -> None:
        self._bucket, self._names, self._work = bucket, names, work
        self._uploads: dict[str, Upload] = {}
        self._rows: dict[str, int] = {}
        self._done: dict[str, Stored] = {}
        self._tables: list[_Table] = []
        self._objects: Objects | None = None

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            return
        for form, upload in self._uploads.items():
            if form in self._done:
                with suppress(SinkUnavailable):
                    self._bucket.delete_version(self._done[form])
            else:
                upload.abort()

    def row(self, columns: Sequence[str], values: Sequence[Value]) -> None:
        """Write one row in every format. Raises SinkUnavailable, as all methods here."""
        self._tabulate(columns)
        for table in self._tables:
            table.lines.write(table.format.line(values))
        for form in self._work.options.formats:
            self._rows[form] += 1

    def lines(self, lines: bytes, rows: int) -> None:
        """Write rows that are JSON Lines already, where nothing else is asked for."""
        self._tabulate(())
        self._tables[0].lines.write(lines)
        self._rows[JSON] += rows

    def _tabulate(self, columns: Sequence[str]) -> None:
        if self._tables:
            return
        for form in self._work.options.formats:
            table = _Table(FORMATS[form](columns), Lines(self._begin(form)))
            table.lines.write(table.format.head())
            self._tables.append(table)

    def blob(self, blob: Blob, record_id: str) -> None:
        """Write one object; its chunks are read to the end."""
        if self._objects is None:
            self._objects = Objects(self._begin(ZIP))
        self._objects.add(blob, record_id)
        self._rows[ZIP] += 1

    def missing(self, left: Mapping[int, str]) -> None:
        """Write the list of what was not returned: ordinals and reasons."""
        if not left:
            return
        lines = Lines(self._begin(MISSING))
        for index, reason in sorted(left.items()):
            said = {"record_id": self._work.record_ids[index], "reason": reason}
            lines.write((json.dumps(said, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))
        lines.finish()
        self._rows[MISSING] = len(left)

    def finish(self) -> list[tuple[Stored, str, int]]:
        """Make all objects; return each with its format and number of rows."""
        for table in self._tables:
            table.lines.finish()
        if self._objects is not None:
            self._objects.finish()
        for form, upload in self._uploads.items():
            self._done[form] = upload.finish()
        return [(stored, form, self._rows[form]) for form, stored in self._done.items()]

    def _begin(self, form: str) -> Upload:
        key = self._names.object(self._work, form)
        upload = self._uploads[form] = self._bucket.upload(key, CONTENT_TYPES[form])
        self._rows[form] = 0
        return upload
