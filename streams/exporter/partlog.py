"""Reads what is written of one request from `export-parts`: one partition, to its end as of now.

Used by `streams.exporter.run`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from streams.exporter.manifest import Part
from streams.exporter.names import Names
from streams.runner.spec import RunnerSpec
from streams.runner.whole import read_whole

_PLACE = re.compile(rb"[0-9]{1,10}/[0-9]{1,10}")


class PartLog:
    """All written parts. `tick` is called while it reads."""

    def __init__(self, spec: RunnerSpec, names: Names, tick: Callable[[], None]) -> None:
        self._spec, self._names, self._tick = spec, names, tick

    def read(self, mark: str, partition: int) -> dict[bytes, Part]:
        """Return the parts of the request behind `mark`, by key. Raises PartitionUnread."""
        found: dict[bytes, Part] = {}
        prefix = mark.encode() + b"/"
        for message in read_whole(self._spec, self._spec.topics.export_parts, partition, tick=self._tick):
            self._take(found, prefix, message.key() or b"", message.value())
        return found

    def _take(self, found: dict[bytes, Part], prefix: bytes, key: bytes, value: bytes | None) -> None:
        if not key.startswith(prefix) or not _PLACE.fullmatch(key[len(prefix) :]):
            return
        if value is None:
            found.pop(key, None)
            return
        _, record = self._spec.codec.decode(value)
        found[key] = Part.of(record, self._names.folder(prefix[:-1].decode()))
