"""Looks for a word wherever bytes lie: raw, and inside whatever zstd has packed, however deep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import zstandard
from rocksdict import AccessType, Options, Rdict

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_MOST: Final = 64 << 20
_DEEP: Final = 4


def holds(raw: bytes, word: bytes, deep: int = _DEEP) -> bool:
    """Whether `word` is in `raw`, or in a zstd frame that begins anywhere in it."""
    if word in raw:
        return True
    at = raw.find(_MAGIC)
    while at >= 0 and deep:
        try:
            inner = zstandard.ZstdDecompressor().decompressobj().decompress(raw[at:])[:_MOST]
        except zstandard.ZstdError:
            inner = b""
        if inner and holds(inner, word, deep - 1):
            return True
        at = raw.find(_MAGIC, at + 1)
    return False


def files_with(word: bytes, directory: Path) -> list[str]:
    """Return the files under `directory` that hold `word`; RocksDB is read as the rows that it has as well."""
    found = [f.relative_to(directory).as_posix() for f in directory.rglob("*") if f.is_file() and holds(_read(f), word)]
    for current in directory.rglob("CURRENT"):
        if any(holds(key, word) or holds(value, word) for key, value in _rows(current.parent)):
            found.append(f"{current.parent.relative_to(directory).as_posix()} (rows)")
    return sorted(found)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # a socket, or gone meanwhile
        return b""


def _rows(directory: Path) -> Iterator[tuple[bytes, bytes]]:
    copy = directory.with_name(f"{directory.name}-looked-at")  # opening it writes
    shutil.copytree(directory, copy)
    db = Rdict(str(copy), options=Options(raw_mode=True), access_type=AccessType.read_only())
    try:
        for key, value in db.items():
            yield bytes(key), bytes(value)
    finally:
        db.close()
        shutil.rmtree(copy)
