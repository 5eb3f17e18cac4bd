"""What the exporter is told: an `ExportWork` record, checked, and its options. Pure.

Used by `streams.exporter.run`; `tests/unit/streams/exporter/test_work.py` says what is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from schemas.errors import Reject
from schemas.plans import BadPlan, check_target
from schemas.policy import BadPolicy, check_category
from streams.exporter.formats import FORMATS, JSON

PART: Final = "part"
MANIFEST: Final = "manifest"
EXPIRE: Final = "expire"


class BadWork(Reject):
    """A message of `selections` that nobody can carry out. The text holds no record id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an export is written: formats of rows, and whether a small one is bundled into one ZIP."""

    formats: tuple[str, ...] = (JSON,)
    bundle: bool = False

    @classmethod
    def of(cls, text: str) -> Options:
        """Read the JSON object. Members that are not known here are others' business. Raises BadWork."""
        said = _object(text, "options")
        formats = said.get("formats", [JSON])
        if not isinstance(formats, list) or not formats or not all(f in FORMATS for f in formats):
            raise BadWork(f"its formats are none of {', '.join(FORMATS)}")
        bundle = said.get("bundle", False)
        if not isinstance(bundle, bool):
            raise BadWork("bundle is neither true nor false")
        return cls(formats=tuple(dict.fromkeys(formats)), bundle=bundle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One piece of work. `expect` maps a ledger partition to its number of parts."""

    work: str
    request_id: str
    org: str
    epoch: int
    partition: int
    seq: int
    last: bool
    category: str
    target: str
    record_ids: tuple[str, ...] = field(repr=False)
    options: Options
    expect: Mapping[int, int]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Work:
        """Check a decoded `ExportWork`. Raises BadWork."""
        work = cls(
            work=record["work"],
            request_id=record["request_id"],
            org=record["org"],
            epoch=record["epoch"],
            partition=record["partition"],
            seq=record["seq"],
            last=record["last"],
            category=record["category"],
            target=record["target"],
            record_ids=tuple(dict.fromkeys(record["record_ids"])),
            options=Options.of(record["options"]),
            expect=_expected(record["expect"]),
        )
        if not work.org or not work.request_id:
            raise BadWork("it names no org or no request")
        if work.work == PART:
            work._check_part()
        return work

    def _check_part(self) -> None:
        if self.partition < 0 or self.seq < 0:
            raise BadWork("its partition or seq is negative")
        if not self.record_ids and not self.last:
            raise BadWork("it names no record and does not end a list")
        if self.record_ids:
            try:  # both become a part of the object's name
                check_category(self.category)
                check_target(self.target)
            except (BadPolicy, BadPlan) as error:
                raise BadWork(str(error)) from None


def _expected(text: str) -> dict[int, int]:
    said = _object(text, "expect")
    fits = all(p.isascii() and p.isdigit() and type(n) is int and n >= 0 for p, n in said.items())
    if not fits:
        raise BadWork("its expect is not a JSON object of partition to number of parts")
    return {int(p): n for p, n in said.items()}


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BadWork(f"its {what} is no JSON object")
    return cast(dict[str, Any], said)
