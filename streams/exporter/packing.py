"""Streams into an upload: gzip of lines, and ZIP of objects. The same input gives the same bytes.

Used by `streams.exporter.parts` and `.finish`; `tests/unit/streams/exporter/test_packing.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO, Any, Final, Protocol, cast

from sinks.export import Blob
from streams.exporter.names import file_name

GZIP_LEVEL: Final = 1
"""The next levels take twice the time for a tenth of the bytes."""
ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The first day that a ZIP can name: an archive says nothing about when it was made."""
LARGE: Final = 1 << 31
_HELD: Final = 256 << 10


class Output(Protocol):
    """Where bytes go: an upload, or a buffer in tests."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class Lines:
    """A gzip file (RFC 1952) of lines, without a name or a time."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
        self._held: list[bytes] = []
        self._bytes = 0

    def write(self, line: bytes) -> None:
        self._held.append(line)
        self._bytes += len(line)
        if self._bytes >= _HELD:
            self._pass_on()

    def finish(self) -> None:
        self._pass_on()
        self._output.write(self._gzip.flush())

    def _pass_on(self) -> None:
        packed = self._gzip.compress(b"".join(self._held))
        self._held.clear()
        self._bytes = 0
        if packed:
            self._output.write(packed)


class Zip:
    """A ZIP of files as they come. Deflate without compression: readers that stream cannot take `stored` with its
    size behind it, and media do not get smaller.
    """

    def __init__(self, output: Output, *, level: int = 0) -> None:
        self._zip = zipfile.ZipFile(
            cast(IO[bytes], _Unseekable(output)), "w", zipfile.ZIP_DEFLATED, compresslevel=level
        )

    def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> tuple[int, str]:
        """Add one file of about `size` bytes; return its real size and SHA-256."""
        info = zipfile.ZipInfo(name, ZIP_EPOCH)
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = self._zip.compresslevel  # type: ignore[attr-defined]
        info.create_system = 3
        info.external_attr = 0o600 << 16
        digest, total = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=size >= LARGE) as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                total += len(chunk)
        return total, digest.hexdigest()

    def finish(self) -> None:
        self._zip.close()


class Objects:
    """A ZIP of a store's objects, with `index.jsonl` at its end: which file is what."""

    def __init__(self, output: Output) -> None:
        self._zip = Zip(output)
        self._index: list[bytes] = []

    def add(self, blob: Blob, record_id: str) -> None:
        """Add one object; its chunks are read to the end."""
        name = file_name(len(self._index), blob.name)
        size, digest = self._zip.add(name, blob.chunks, size=blob.size)
        about: dict[str, Any] = {
            "file": name,
            "record_id": record_id,
            "key": blob.key,
            "bytes": size,
            "sha256": digest,
            "content_type": blob.content_type,
            "metadata": dict(sorted(blob.metadata.items())),
        }
        self._index.append((json.dumps(about, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))

    def finish(self) -> None:
        self._zip.add("index.jsonl", self._index, size=sum(map(len, self._index)))
        self._zip.finish()


class _Unseekable:
    """Lets `zipfile` see that it cannot go back: it then writes sizes behind the files."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, data: bytes) -> int:
        return self._output.write(bytes(data))

    def flush(self) -> None:
        self._output.flush()
