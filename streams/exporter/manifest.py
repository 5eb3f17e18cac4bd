"""What is in an archive: its parts put together, checked against what the coordinator expects. Pure.

A part that is not there is an error, never an archive that looks whole (DESIGN §4.12). The manifest holds no time and
no id of the engine's own, so two runs over the same stores give the same bytes. Used by `streams.exporter.finish`;
`tests/unit/streams/exporter/test_manifest.py` says what it promises.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.errors import Retry

VERSION: Final = 1
MOST_LISTED: Final = 500
"""Files in an answer's body: about 200 KiB."""


class PartsMissing(Retry):
    """The parts that are written are not those that were announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One object of an archive. `version` is empty where the bucket keeps none; `name` is relative to the folder."""

    key: str
    version: str
    name: str
    bytes: int
    sha256: str
    format: str
    rows: int

    def listed(self) -> dict[str, Any]:
        """Return it as answers list it."""
        return {
            "key": self.key,
            "version": self.version,
            "name": self.name,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "format": self.format,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part that is written. `missing` maps a reason of `sinks.export.MISSING` to a number of records."""

    partition: int
    seq: int
    last: bool
    category: str
    target: str
    records: int
    rows: int
    missing: Mapping[str, int] = field(default_factory=dict)
    files: tuple[File, ...] = ()

    def record(self, request_id: str, org: str) -> dict[str, Any]:
        """Return the `ExportPart`."""
        return {
            "request_id": request_id,
            "org": org,
            "partition": self.partition,
            "seq": self.seq,
            "last": self.last,
            "category": self.category,
            "target": self.target,
            "records": self.records,
            "rows": self.rows,
            "missing": [{"reason": reason, "records": n} for reason, n in sorted(self.missing.items())],
            "objects": [{k: v for k, v in f.listed().items() if k != "name"} for f in self.files],
        }

    @classmethod
    def of(cls, record: Mapping[str, Any], folder: str) -> Part:
        """Read a decoded `ExportPart` of the request whose objects lie in `folder`."""
        return cls(
            partition=record["partition"],
            seq=record["seq"],
            last=record["last"],
            category=record["category"],
            target=record["target"],
            records=record["records"],
            rows=record["rows"],
            missing={m["reason"]: m["records"] for m in record["missing"]},
            files=tuple(File(**o, name=o["key"].removeprefix(folder)) for o in record["objects"]),
        )


def complete(parts: Iterable[Part], expect: Mapping[int, int]) -> list[Part]:
    """Return the parts in order of partition and seq.

    Raises PartsMissing unless they are seq 0 to n-1 of each expected partition, the last of which ends its list.
    """
    by_place = {(part.partition, part.seq): part for part in parts}
    wrong = []
    for partition, count in sorted(expect.items()):
        mine = sorted(seq for p, seq in by_place if p == partition)
        if mine != list(range(count)) or not count or not by_place[partition, count - 1].last:
            wrong.append(f"partition {partition} has {len(mine)} parts of {count}")
    wrong += [f"partition {p} was not announced" for p in sorted({p for p, _ in by_place} - expect.keys())]
    if wrong or not expect:
        raise PartsMissing("; ".join(wrong) or "no partition was announced")
    return [by_place[place] for place in sorted(by_place)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """All of one request."""

    parts: Sequence[Part]

    @property
    def files(self) -> list[File]:
        return [file for part in self.parts for file in part.files]

    def counts(self) -> dict[str, Any]:
        """Return the sums, and those of each category and target."""
        by: dict[tuple[str, str], list[Part]] = {}
        for part in self.parts:
            if part.records:
                by.setdefault((part.category, part.target), []).append(part)
        return {
            **_sums(self.parts),
            "bytes": sum(file.bytes for file in self.files),
            "by": [{"category": c, "target": t, **_sums(parts)} for (c, t), parts in sorted(by.items())],
        }

    def reasons(self) -> dict[str, int]:
        """Return how many records are missing, by reason."""
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(part.missing)
        return dict(sorted(total.items()))

    def text(self, request_id: str, org: str) -> bytes:
        """Return `manifest.json`. Versions are the bucket's, different in each run, and stay out."""
        files = [{k: v for k, v in f.listed().items() if k not in ("key", "version")} for f in self.files]
        said = {
            "version": VERSION,
            "request_id": request_id,
            "org": org,
            "counts": self.counts(),
            "reasons": self.reasons(),
            "files": files,
        }
        return (json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode(errors="backslashreplace")


def manifest_body(
    archive: Archive, *, bucket: str, folder: str, manifest: File, files: Sequence[File]
) -> dict[str, Any]:
    """Return the body of a `manifest` answer; `files` are those to hand out."""
    return {
        "bucket": bucket,
        "prefix": folder,
        "manifest": manifest.listed(),
        "files": [file.listed() for file in files[:MOST_LISTED]],
        "files_total": len(files),
        "counts": archive.counts(),
        "reasons": archive.reasons(),
    }


def _sums(parts: Sequence[Part]) -> dict[str, int]:
    return {
        "parts": len(parts),
        "records": sum(part.records for part in parts),
        "rows": sum(part.rows for part in parts),
        "missing": sum(sum(part.missing.values()) for part in parts),
    }
