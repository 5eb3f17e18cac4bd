"""The end of an archive: its manifest, and the bundle of a small one; later its deletion.

Used by `streams.exporter.run`; `tests/integration/exporter/` says what it promises.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from streams.exporter.bucket import ExportBucket, Stored
from streams.exporter.formats import ZIP
from streams.exporter.manifest import Archive, File, Part, complete, manifest_body
from streams.exporter.names import Names
from streams.exporter.packing import Zip
from streams.exporter.work import Work

MANIFEST_NAME: Final = "manifest.json"
BUNDLE_NAME: Final = "export.zip"
ENDED_KEPT: Final = timedelta(days=30)
"""Longer than anything of a request lies in `selections`."""
_ZIP_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class Finisher:
    """Finishes and expires archives. `tick` is called now and then, and raises to give up."""

    bucket: ExportBucket
    names: Names
    bundle_bytes: int
    tick: Callable[[], None]

    def manifest(self, work: Work, parts: list[Part]) -> dict[str, Any]:
        """Write the manifest of `parts`, and the bundle; return the answer's body.

        Raises PartsMissing, SinkUnavailable. Of an archive that has ended nothing is written: `{}`.
        """
        archive = Archive(parts=complete(parts, work.expect))
        mark = self.names.mark(work.org, work.request_id)
        folder, ended = self.names.folder(mark), self.names.ended(mark)
        if self.bucket.has(ended):
            return {}
        text = archive.text(work.request_id, work.org)
        manifest = _file(self.bucket.put(folder + MANIFEST_NAME, text, "application/json"), MANIFEST_NAME, "manifest")
        files, made = archive.files, [manifest]
        if work.options.bundle and sum(file.bytes for file in files) <= self.bundle_bytes:
            files = [self._bundle(folder, files, text)]
            made += files
        if self.bucket.has(ended):
            for file in made:
                self.bucket.delete_version(Stored(file.key, file.version, file.bytes, file.sha256))
            return {}
        return manifest_body(archive, bucket=self.bucket.name, folder=folder, manifest=manifest, files=files)

    def expire(self, work: Work, now: datetime) -> dict[str, Any]:
        """Delete all of a request and let nothing more be written for it; return the answer's body."""
        mark = self.names.mark(work.org, work.request_id)
        self.bucket.put(self.names.ended(mark), b"", "application/octet-stream")
        gone = self.bucket.delete_all(self.names.folder(mark))
        for key in self.bucket.older_than(self.names.ended_folder, now - ENDED_KEPT):
            self.bucket.delete_all(key)
        return {"versions": gone.versions, "uploads": gone.uploads, "left": gone.left}

    def _bundle(self, folder: str, files: list[File], manifest: bytes) -> File:
        """Write one ZIP with every file unpacked, so that whoever gets it needs to open one thing."""
        key = folder + BUNDLE_NAME
        self.bucket.abort_unfinished(key)
        upload = self.bucket.upload(key, "application/zip")
        try:
            bundle = Zip(upload, level=_ZIP_LEVEL)
            bundle.add(MANIFEST_NAME, [manifest], size=len(manifest))
            for file in files:
                self.tick()
                if file.format == ZIP:
                    self._repack(bundle, file)
                else:
                    bundle.add(file.name.removesuffix(".gz"), self._unpacked(file), size=file.bytes)
            bundle.finish()
            stored = upload.finish()
        except BaseException:
            upload.abort()
            raise
        return _file(stored, BUNDLE_NAME, ZIP, rows=len(files))

    def _unpacked(self, file: File) -> Iterator[bytes]:
        gzip = zlib.decompressobj(31)
        for chunk in self.bucket.read(file.key, file.version):
            yield gzip.decompress(chunk)
        yield gzip.flush()

    def _repack(self, bundle: Zip, file: File) -> None:
        """Copy the files of a ZIP: in memory, as all of the archive is smaller than `bundle_bytes`."""
        whole = io.BytesIO(b"".join(self.bucket.read(file.key, file.version)))
        with zipfile.ZipFile(whole) as packed:
            for info in packed.infolist():
                with packed.open(info) as content:
                    chunks = iter(lambda: content.read(1 << 20), b"")
                    bundle.add(f"{file.name.removesuffix('.zip')}/{info.filename}", chunks, size=info.file_size)


def _file(stored: Stored, name: str, form: str, *, rows: int = 0) -> File:
    return File(
        key=stored.key,
        version=stored.version,
        name=name,
        bytes=stored.bytes,
        sha256=stored.sha256,
        format=form,
        rows=rows,
    )
