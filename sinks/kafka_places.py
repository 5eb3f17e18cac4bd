"""Which key lives where: the newest keys in memory, all others in files.

    put ─▶ memory, the keys as they are ─▶ full ─▶ files: keyed hashes and numbers

A key may live in several partitions, and each has its own newest offset. What is in memory goes on top of what is in
the files; topics of fewer than some hundred thousand keys never need them. The key of the hashes lives in this process
alone, so the files say nothing about anybody. Used by `sinks.kafka_index`; `tests/unit/sinks/test_kafka_places.py`
says what it promises.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Final, cast

import numpy as np
from rocksdict import Options, Rdict, WriteBatch

MEMORY_BYTES: Final = 96 << 20
_KEY_BYTES: Final = 160
"""What a key costs in memory beside its own bytes: objects, and its share of the table."""
_AT_ONCE: Final = 10_000
_CACHE_MB: Final = 16
_PLACE: Final = struct.Struct(">IQ")
_PARTITION_BITS: Final = 20
_PARTITIONS: Final = (1 << _PARTITION_BITS) - 1

_Moves = dict[int, int | None]
"""Partition to offset; None: it has left."""
_Known = int | _Moves
"""Of most keys one place is known, and nothing in the files: offset and partition in one number. Where there are
files, memory has moves only."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    partition: int
    offset: int


class KeyPlaces:
    """The places of the keys of some topics. `directory` is wiped when it is opened and closed."""

    def __init__(self, directory: Path, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._secret = secrets.token_bytes(32)
        self._memory: defaultdict[str, dict[bytes, _Known]] = defaultdict(dict)
        self._used = 0
        self._files: Rdict | None = None
        self._taken: list[tuple[str, Sequence[bytes], list[_Known | None]]] = []
        self._taken_places: list[tuple[str, bytes, int, int]] = []
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)

    def close(self) -> None:
        """Close, and remove the files."""
        if self._files is not None:
            self._files.close()
            self._files = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def put(self, topic: str, key: bytes, place: Place, *, lives: bool) -> None:
        """Take note that a key was written at `place`, or, where it does not live, erased. May spill."""
        memory = self._memory[topic]
        known = memory.get(key)
        if known is None:
            self._put_first(memory, key, place, lives=lives)
        elif isinstance(known, int):
            partition, offset = known & _PARTITIONS, known >> _PARTITION_BITS
            if lives:
                here = partition == place.partition
                memory[key] = _one(place) if here else {partition: offset, place.partition: place.offset}
            elif partition == place.partition:
                self._drop(memory, key)
        elif lives or self._files is not None:
            known[place.partition] = place.offset if lives else None
        else:
            known.pop(place.partition, None)
            if not known:
                self._drop(memory, key)
        self.make_room()

    def make_room(self) -> None:
        """Bring what is in memory into the files if it has grown too large, which takes seconds. `take` never does:
        it is called in an open transaction, which has a few of them in all."""
        if self._used > self._memory_bytes:
            self._spill()

    def _put_first(self, memory: dict[bytes, _Known], key: bytes, place: Place, *, lives: bool) -> None:
        """Put a key of which memory says nothing; that it was erased matters only if the files may say more."""
        if self._files is not None:
            memory[key] = {place.partition: place.offset if lives else None}
        elif lives:
            memory[key] = _one(place)
        else:
            return
        self._used += len(key) + _KEY_BYTES

    def take(self, topic: str, keys: Sequence[bytes]) -> tuple[int, dict[int, list[bytes]]]:
        """Take out `keys`; return how many lived, and by partition those that lived there.

        Until `keep` is called, `undo` puts them back.
        """
        if self._files is not None:
            return self._take_with_files(topic, list(dict.fromkeys(keys)))
        there: defaultdict[int, list[bytes]] = defaultdict(list)
        taken = list(map(self._memory[topic].pop, keys, repeat(None)))
        self._taken.append((topic, keys, taken))
        if set(map(type, taken)) == {int}:
            self._used -= sum(map(len, keys)) + _KEY_BYTES * len(keys)
            return len(keys), _by_partition(keys, cast("list[int]", taken))
        count = 0
        for key, known in zip(keys, taken, strict=True):
            if known is not None:
                count += 1
                self._used -= len(key) + _KEY_BYTES
                for partition in (known & _PARTITIONS,) if isinstance(known, int) else known:
                    there[partition].append(key)
        return count, there

    def _take_with_files(self, topic: str, keys: Sequence[bytes]) -> tuple[int, dict[int, list[bytes]]]:
        there: defaultdict[int, list[bytes]] = defaultdict(list)
        memory, count = self._memory[topic], 0
        for key, row in zip(keys, self._rows(topic, keys), strict=True):
            live = _live(row, memory.get(key))
            count += bool(live)
            for partition, offset in live:
                there[partition].append(key)
                self._taken_places.append((topic, key, partition, offset))
            if live:
                self._leave(memory, key, live)
        return count, there

    def _leave(self, memory: dict[bytes, _Known], key: bytes, live: Sequence[tuple[int, int]]) -> None:
        gone: _Moves = {partition: None for partition, _ in live}
        known = memory.get(key)
        if isinstance(known, dict):
            known.update(gone)
            return
        memory[key] = gone
        self._used += len(key) + _KEY_BYTES

    def keep(self) -> None:
        """What was taken out is gone for good."""
        self._taken.clear()
        self._taken_places.clear()

    def undo(self) -> None:
        """Put back what was taken out and has not been written anew since."""
        for topic, key, partition, offset in reversed(self._taken_places):  # of two takings the newer has its place
            self._put_back(topic, key, Place(partition, offset))
        for topic, keys, taken in reversed(self._taken):
            for key, known in zip(keys, taken, strict=True):
                for place in _live(None, known):
                    self._put_back(topic, key, Place(*place))
        self.keep()

    def _put_back(self, topic: str, key: bytes, place: Place) -> None:
        if all(now.partition != place.partition for now in self.places(topic, [key]).get(key, ())):
            self.put(topic, key, place, lives=True)

    def places(self, topic: str, keys: Sequence[bytes]) -> dict[bytes, list[Place]]:
        """Return where each key lives, only for keys that live somewhere."""
        memory, rows = self._memory[topic], self._rows(topic, keys)
        return {
            key: [Place(*one) for one in live]
            for key, row in zip(keys, rows, strict=True)
            if (live := _live(row, memory.get(key)))
        }

    def forget(self, topic: str, key: bytes, place: Place) -> None:
        """Take out a place that is empty, unless the key has moved on in that partition."""
        if place in self.places(topic, [key]).get(key, ()):
            self.put(topic, key, place, lives=False)

    def _drop(self, memory: dict[bytes, _Known], key: bytes) -> None:
        del memory[key]
        self._used -= len(key) + _KEY_BYTES

    def _rows(self, topic: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return what the files say of each key, None where they do not know it."""
        if self._files is None:
            return [None] * len(keys)
        return _rows_at(self._files, [self._hash(topic, key) for key in keys])

    def _spill(self) -> None:
        """Bring what is in memory into the files. Where that fails, the process ends: half of it is in both."""
        first = self._files is None
        files = self._files = self._files or self._opened()
        for topic, memory in self._memory.items():
            left = iter(memory.items())
            while some := dict(islice(left, _AT_ONCE)):
                hashes = [self._hash(topic, key) for key in some]
                batch = WriteBatch(raw_mode=True)
                rows = [None] * len(hashes) if first else _rows_at(files, hashes)
                for at, row, known in zip(hashes, rows, some.values(), strict=True):
                    if live := _live(row, known):
                        batch.put(at, b"".join(_PLACE.pack(*place) for place in live))
                    elif row is not None:
                        batch.delete(at)
                files.write(batch)
        self._memory.clear()
        self._used = 0

    def _opened(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(32 << 20)
        options.optimize_for_point_lookup(_CACHE_MB)
        return Rdict(str(self._directory / "keys"), options)

    def _hash(self, topic: str, key: bytes) -> bytes:
        return hashlib.blake2b(topic.encode() + b"\0" + key, digest_size=16, key=self._secret).digest()


def _rows_at(files: Rdict, hashes: list[bytes]) -> Sequence[bytes | None]:
    return cast("list[bytes | None]", files.get(hashes))


def _by_partition(keys: Sequence[bytes], places: Sequence[int]) -> dict[int, list[bytes]]:
    """Return `keys` by the partition where each lives, those of one partition in their order."""
    partitions = np.fromiter(places, np.int64, len(places)) & _PARTITIONS
    order = np.argsort(partitions, kind="stable")
    found, starts = np.unique(partitions[order], return_index=True)
    ordered = list(map(keys.__getitem__, order.tolist()))
    ends = [*starts[1:].tolist(), len(ordered)]
    bounds = zip(found.tolist(), starts.tolist(), ends, strict=True)
    return {partition: ordered[start:end] for partition, start, end in bounds}


def _one(place: Place) -> int:
    return place.offset << _PARTITION_BITS | place.partition


def _live(row: bytes | None, known: _Known | None) -> list[tuple[int, int]]:
    """Return the partitions and offsets where a key lives, by what the files and then memory say of it."""
    if isinstance(known, int):
        return [(known & _PARTITIONS, known >> _PARTITION_BITS)]
    if not known:
        return list(_PLACE.iter_unpack(row)) if row else []
    places = {**dict(_PLACE.iter_unpack(row or b"")), **known}
    return sorted((partition, offset) for partition, offset in places.items() if offset is not None)
