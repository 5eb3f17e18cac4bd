"""The broker's own files: what is in them, whatever a consumer is shown."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import cramjam
import zstandard

from tests.integration.seek import holds

_HEAD: Final = struct.Struct(">qiibih")  # base offset, length, leader epoch, magic, checksum, attributes
_RECORDS: Final = 61  # where a batch's records begin: https://kafka.apache.org/documentation/#recordbatch

_UNPACK: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    0: lambda raw: raw,
    1: lambda raw: bytes(cramjam.gzip.decompress(raw)),
    3: lambda raw: bytes(cramjam.lz4.decompress(raw)),
    4: lambda raw: zstandard.ZstdDecompressor().decompressobj().decompress(raw),
}


class BrokerFiles:
    """The log directory of the session's broker, but for the topics of tests with another prefix.

    `broker_logs` and `prefix` are the fixtures of these names.
    """

    def __init__(self, broker_logs: Path, prefix: str) -> None:
        self._logs = broker_logs
        self._prefix = prefix
        assert self._logs.is_dir()

    def holds(self, word: bytes) -> bool:
        """Whether any file has `word`, plain or packed; one that waits to be deleted counts."""
        return bool(self.topics_with(word))

    def topics_with(self, word: bytes) -> set[str]:
        """Return the topics that have `word` in a file of theirs; whatever belongs to none is named by its file."""
        # Other tests' topics may be deleted while we look, so their directories are not entered.
        own = [path for path in self._logs.iterdir() if path.is_dir() and self._may_have(path.name)]
        files = [path for directory in (self._logs, *own) for path in directory.iterdir() if path.is_file()]
        assert any(path.suffix == ".log" for path in files)
        found = [path for path in files if _has(path, word)]
        return {p.parent.name.rpartition("-")[0] if p.parent != self._logs else p.name for p in found}

    def _may_have(self, directory: str) -> bool:
        """Whether it is of our topics or the broker's own."""
        return directory.startswith((f"{self._prefix}.", "__"))


def _has(path: Path, word: bytes) -> bool:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:  # deleted meanwhile
        return False
    return word in raw or (".log" in path.name and any(holds(records, word) for records in _batches(raw)))


def _batches(raw: bytes) -> Iterator[bytes]:
    """Yield each batch's records as they were before they were packed."""
    at = 0
    while at + _RECORDS < len(raw):
        _, length, _, magic, _, attributes = _HEAD.unpack_from(raw, at)
        end = at + 12 + length
        if magic != 2 or end > len(raw):  # written at this moment; room that is set aside is zero
            return
        yield _UNPACK[attributes & 7](raw[at + _RECORDS : end])
        at = end
