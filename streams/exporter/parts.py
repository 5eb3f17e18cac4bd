"""Writes one part: the records of one piece of work, from their store into the bucket, in one pass.

Rows become one object for each format, objects one ZIP, and what the store does not return a list of its own. Nothing
is kept but some MiB on their way. Used by `streams.exporter.run`; `tests/integration/exporter/` says what it promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from sinks.base import NoPlan, Sink
from sinks.export import NO_PLAN, NOT_FOUND, Blobs, Exported, Left, Rows, Unreadable, Wanted
from streams.exporter.bucket import ExportBucket
from streams.exporter.manifest import File, Part
from streams.exporter.names import Names
from streams.exporter.outputs import Outputs
from streams.exporter.work import Work

Tick = Callable[[], None]
"""Called every now and then while a part is written; raises to give it up."""


@dataclass(slots=True)
class _Seen:
    """What the store returned: how many rows or objects, of which ordinals; and what it left, why."""

    rows: int = 0
    found: set[int] = field(default_factory=set)
    left: dict[int, str] = field(default_factory=dict)

    def missing(self, records: int) -> dict[int, str]:
        """Return every ordinal that is not wholly there, with its reason."""
        absent = {n: NOT_FOUND for n in range(records) if n not in self.found}
        return absent | self.left


class PartWriter:
    """Writes parts into one bucket."""

    def __init__(self, bucket: ExportBucket, names: Names, tick: Tick) -> None:
        self._bucket, self._names, self._tick = bucket, names, tick

    def write(self, work: Work, sink: Sink | None) -> Part | None:
        """Write the part and return what was written. `sink` is None where the data map has no plan for it.

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
            seen = self._read(work, _exported(sink, work), outputs)
            missing = seen.missing(part.records)
            outputs.missing(missing)
            done = outputs.finish()
        if self._bucket.has(ended):  # it ended meanwhile, and its deletion may have missed these
            for stored, _, _ in done:
                self._bucket.delete_version(stored)
            return None
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

    def _read(self, work: Work, exported: Exported, outputs: Outputs) -> _Seen:
        seen = _Seen()
        if isinstance(exported, Unreadable):
            seen.left = dict.fromkeys(range(len(work.record_ids)), exported.reason)
        elif isinstance(exported, Rows):
            with closing(exported.rows) as rows:
                for row in rows:
                    self._tick()
                    if isinstance(row, Left):
                        seen.left[row.index] = row.reason
                    else:
                        outputs.row(exported.columns, row.values)
                        seen.found.add(row.index)
                        seen.rows += 1
        else:
            self._read_blobs(work, exported, outputs, seen)
        return seen

    def _read_blobs(self, work: Work, exported: Blobs, outputs: Outputs, seen: _Seen) -> None:
        with closing(exported.blobs) as blobs:
            for blob in blobs:
                self._tick()
                if isinstance(blob, Left):
                    seen.left[blob.index] = blob.reason
                else:
                    outputs.blob(replace(blob, chunks=self._ticking(blob.chunks)), work.record_ids[blob.index])
                    seen.found.add(blob.index)
                    seen.rows += 1

    def _ticking(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._tick()
            yield chunk


def _exported(sink: Sink | None, work: Work) -> Exported:
    if sink is None:
        return Unreadable(NO_PLAN)
    try:
        return sink.export(Wanted(org=work.org, category=work.category, record_ids=work.record_ids))
    except NoPlan:
        return Unreadable(NO_PLAN)
