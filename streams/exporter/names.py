"""Names of objects and records of an export. Pure; nothing in a name says who or what it is about.

A request id is its requester's text and may hold anything, and two orgs may use the same: a keyed hash of both stands
for it. Used by `streams.exporter`; `tests/unit/streams/exporter/test_names.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import Refused
from streams.exporter.formats import SUFFIXES
from streams.exporter.work import Work

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_MOST: Final = 100

ENDED: Final = "ended"


@dataclass(frozen=True)
class Names:
    """The names under one prefix of the bucket. `key` is secret, at least 16 bytes."""

    prefix: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise Refused(f"export prefix {self.prefix!r}: write letters, digits, '-' and '_', parted by '/'")
        if len(self.key) < 16:
            raise Refused("export key: it has fewer than 16 bytes")

    def mark(self, org: str, request_id: str) -> str:
        """Return the 32 hex digits that stand for a request."""
        said = json.dumps(["ebbtide export v1", org, request_id]).encode()
        return hmac.digest(self.key, said, hashlib.sha256)[:16].hex()

    def folder(self, mark: str) -> str:
        """Return what all objects of a request begin with."""
        return f"{self.prefix}/{mark}/"

    def ended(self, mark: str) -> str:
        """Return the object that says that nothing may be written for a request any more."""
        return f"{self.ended_folder}{mark}"

    @property
    def ended_folder(self) -> str:
        return f"{self.prefix}/{ENDED}/"

    def part(self, work: Work) -> str:
        """Return what all objects of a part begin with; a '.' follows."""
        return f"{self.folder(self.mark(work.org, work.request_id))}{part_name(work)}"

    def object(self, work: Work, form: str) -> str:
        """Return the object of a part in one format."""
        return self.part(work) + SUFFIXES[form]


def part_name(work: Work) -> str:
    """Return a part's name in its folder."""
    return f"{work.category}/{work.target}-{work.partition:04d}-{work.seq:08d}"


def record_key(mark: str, partition: int, seq: int) -> bytes:
    """Return the key of an `ExportPart`."""
    return f"{mark}/{partition}/{seq}".encode()


def file_name(number: int, name: str) -> str:
    """Return a name for a file in a ZIP: unique by number, harmless on every system, as telling as that allows."""
    return f"{number:06d}-{_UNSAFE.sub('_', name)[-_MOST:]}"
