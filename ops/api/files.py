"""Files of an export: which there are, until when they are handed out, and a short link to one of them.

    n 0 is the manifest, 1 … are the files in its order; beyond those that a job lists the manifest itself is read

A link of ours never leaves with the bucket's signature in it: it is checked and recorded each time, and answered with
one that lives LINK_S. Used by `ops.api.job_routes`; `tests/integration/api/test_files.py` says what it promises.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ops.api.problems import Problem, not_found
from ops.api.reads import Row
from sinks.base import SinkUnavailable
from streams.exporter.bucket import ExportBucket

LINK_S: Final = 60
"""A link to the bucket lives so long: it is made when somebody follows ours."""
KIND: Final = "export"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an archive, as the bucket knows it. `version` is empty where it keeps none."""

    number: int
    name: str
    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Files:
    """Hands out files. `read` is the bucket as the API reaches it, `links` as those do who get a link.

    `now_ms` is engine time: links end by it.
    """

    read: ExportBucket | None
    links: ExportBucket | None
    now_ms: Callable[[], int] = field(repr=False)

    async def find(self, job: Row, number: str) -> File:
        """Return a file of an export. Raises Problem: `not-found`, `expired-link`, `unavailable`."""
        detail = job["detail"]
        if job["kind"] != KIND or "links_end_at" not in detail or not _is_number(number):
            raise not_found()
        if "deleted" in detail or self.now_ms() >= detail["links_end_at"]:
            raise Problem("expired-link")
        return await self._file(detail, int(number))

    async def _file(self, detail: Mapping[str, Any], number: int) -> File:
        listed = [detail["manifest"], *detail["files"]]
        if number < len(listed):
            found = listed[number]
            return File(number, found["name"], found["key"], found["version"])
        if number > detail["files_total"]:
            raise not_found()
        name = (await self._named(detail["manifest"]))[number - 1]
        return File(number, name, detail["prefix"] + name, "")

    async def _named(self, manifest: Mapping[str, Any]) -> list[str]:
        """Return the names of all files."""
        bucket = self.read
        if bucket is None:
            raise _away()

        def load() -> bytes:
            return b"".join(bucket.read(manifest["key"], manifest["version"]))

        try:
            said = json.loads(await asyncio.to_thread(load))
        except SinkUnavailable:
            raise _away() from None
        return [file["name"] for file in said["files"]]

    def link(self, file: File) -> str:
        """Return an address in the bucket that lives LINK_S. Raises Problem, `unavailable`."""
        if self.links is None:
            raise _away()
        return self.links.link(file.key, file.version, seconds=LINK_S, name=file.name.replace("/", "-"))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 8


def _away() -> Problem:
    return Problem("unavailable", detail="The export bucket does not answer.", headers={"Retry-After": "30"})
