"""Writes one part: the records of one piece of work, from their store into the bucket, in one pass.

Rows become one object for each format, objects one ZIP, and what the store does not return a list of its own. Nothing
is kept but some MiB on their way. Several threads may write a part each: they read one after the other, since a store's
client is made for one thread, and what follows the reading they do beside each other. Used by `streams.exporter.run`;
`tests/integration/exporter/` says what it promises.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from sinks.base import NoPlan, Sink
from sinks.export import NO_PLAN, NOT_FOUND, Exported, Left, Lines, Rows, Unreadable, Wanted
from streams.exporter.bucket import ExportBucket, Stored
from streams.exporter.formats import JSON
from streams.exporter.manifest import File, Part
from streams.exporter.names import Names
from streams.exporter.outputs import Outputs
from streams.exporter.work import Work

Tick = Callable[[], None]
"""Called every now and then while a part is written; raises to give it up."""


_TURN_S: Final = 0.1

T = TypeVar("T")


@dataclass(slots=True)
class _Seen:
    """What the store returned: how many rows or objects, of which ordinals; and what it left, why."""

    rows: int = 0
    found: set[int] = field(default_factory=set)
    left: dict[int, str] = field(default_factory=dict)

    def has(self, ordinal: int) -> None:
        """Take note of a row or object."""
        self.found.add(ordinal)
        self.rows += 1

    def missing(self, records: int) -> dict[int, str]:
        """Return every ordinal that is not wholly there, with its reason."""
        absent = {n: NOT_FOUND for n in range(records) if n not in self.found}
        return absent | self.left


class PartWriter:
    """Writes parts into one bucket."""

    def __init__(self, bucket: ExportBucket, names: Names) -> None:
        self._bucket, self._names = bucket, names
        self._reading = threading.Lock()

    def write(self, work: Work, sink: Callable[[], Sink | None], tick: Tick) -> Part | None:
        """Write the part and return what was written, to be `confirm`ed. `sink` gives None where no plan is for it.

        Of a request that has ended nothing is written: None. Raises SinkUnavailable, PlanBroken, and what `tick`
        raises: nothing is left then but, at worst, an unfinished upload that the next try aborts.
        """
        ended = self._names.ended(self._names.mark(work.org, work.request_id))
        part = Part(
            partition=work.partition,
            seq=work.seq,
            last=work.last,
            category=work.category,
            target=work.target,
            records=len(work.record_ids),
            rows=0,
        )
        if self._bucket.has(ended):
            return None
        if not work.record_ids:
            return part
        with Outputs(self._bucket, self._names, work) as outputs:
            while not self._reading.acquire(timeout=_TURN_S):
                tick()
            try:
                seen = _read(work, _exported(sink(), work), outputs, tick)
            finally:
                self._reading.release()
            missing = seen.missing(part.records)
            outputs.missing(missing)
            done = outputs.finish()
        folder = self._names.folder(self._names.mark(work.org, work.request_id))
        files = [
            File(
                key=stored.key,
                version=stored.version,
                name=stored.key.removeprefix(folder),
                bytes=stored.bytes,
                sha256=stored.sha256,
                format=form,
                rows=rows,
            )
            for stored, form, rows in done
        ]
        return replace(part, rows=seen.rows, missing=dict(Counter(missing.values())), files=tuple(files))

    def confirm(self, work: Work, part: Part) -> Part | None:
        """Return a written part that is about to be committed; None: its request has ended, it has taken itself back.

        Raises SinkUnavailable: ask again.
        """
        if not part.files or not self._bucket.has(self._names.ended(self._names.mark(work.org, work.request_id))):
            return part
        for file in part.files:  # the deletion of all there is may have missed these
            self._bucket.delete_version(Stored(file.key, file.version, file.bytes, file.sha256))
        return None


def _read(work: Work, exported: Exported, outputs: Outputs, tick: Tick) -> _Seen:
    seen = _Seen()
    if isinstance(exported, Unreadable):
        seen.left = dict.fromkeys(range(len(work.record_ids)), exported.reason)
    elif isinstance(exported, Lines):
        seen.found = set(range(len(work.record_ids)))
        with closing(exported.chunks) as chunks:
            for chunk in _there(chunks, seen, tick):
                outputs.lines(chunk.lines, chunk.rows)
                seen.rows += chunk.rows
    elif isinstance(exported, Rows):
        with closing(exported.rows) as rows:
            for row in _there(rows, seen, tick):
                outputs.row(exported.columns, row.values)
                seen.has(row.index)
    else:
        with closing(exported.blobs) as blobs:
            for blob in _there(blobs, seen, tick):
                outputs.blob(replace(blob, chunks=_ticking(blob.chunks, tick)), work.record_ids[blob.index])
                seen.has(blob.index)
    return seen


def _there(returned: Iterator[T | Left], seen: _Seen, tick: Tick) -> Iterator[T]:
    """Yield what a store returns, and note what it left and why."""
    for one in returned:
        tick()
        if isinstance(one, Left):
            seen.left[one.index] = one.reason
        else:
            yield one


def _ticking(chunks: Iterator[bytes], tick: Tick) -> Iterator[bytes]:
    for chunk in chunks:
        tick()
        yield chunk


def _exported(sink: Sink | None, work: Work) -> Exported:
    if sink is None:
        return Unreadable(NO_PLAN)
    try:
        lines = work.options.formats == (JSON,)
        return sink.export(Wanted(org=work.org, category=work.category, record_ids=work.record_ids, lines=lines))
    except NoPlan:
        return Unreadable(NO_PLAN)
