"""The local copy of a partition's state, in RocksDB through rocksdict (raw mode).

`LocalStores` stands in for Faust's `RocksDBOptions` (`faust_fixes.LaneTable` puts it there): Faust decides when a
partition is opened, this module decides how. All partitions share one block cache, and memtables are charged to it,
so memory is bounded per worker and not per partition.

Three rows are local only, never in the changelog: when the copy was last compacted, the changelog offset that it has
reached, and a stamp: when it was last known to be complete. A copy that is older than tombstones live would bring
deleted rows back, so it is wiped when it is opened. The stamp moves only with a restore or a committed checkpoint,
which prove ownership: a heartbeat of the process could be written by one that lost the partition long ago.

Proven by `tests/unit/streams/lane/test_rocks.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

OFFSET_KEY = b"\0offset"
STAMP_KEY = b"\0stamp"
COMPACTED_KEY = b"\0compacted"
LOCAL_KEYS = frozenset({OFFSET_KEY, STAMP_KEY, COMPACTED_KEY})
"""Rows of the local copy alone, which no changelog has."""

_MEMTABLE_BYTES = 16 << 20

_RANGE_BYTES = 64 << 20
_MANIFEST_BYTES = 1
"""A manifest is begun anew with each change of files: it names their first and last keys, gone ones as well."""

log = logging.getLogger(__name__)


class CompactionStopped(Exception):
    """A compaction was ended because its partition is to be closed."""


class Partition:
    """One open partition. Drop every reference to close it: Faust closes databases by garbage collection."""

    __slots__ = ("_db", "_stopped")

    def __init__(self, db: Rdict) -> None:
        self._db = db
        self._stopped = False

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def range(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Rows with first <= key < end (to the last one for None), in key order, as of now."""
        options = ReadOptions()
        if end is not None:
            # rocksdict 0.3.29 does not copy the bound: RocksDB reads the memory of `end` as long as it iterates. As
            # locals of a generator, both live longer than the iterator.
            options.set_iterate_upper_bound(end)
        rows = self._db.items(from_key=first, read_opt=options)
        try:
            yield from rows
        finally:
            del rows

    def offset(self) -> int | None:
        """The offset of the last changelog record that this copy holds."""
        row = self.get(OFFSET_KEY)
        return None if row is None else int(row)

    def stamp(self) -> float | None:
        """When this copy was last known to be complete (seconds since the epoch); None for an empty one."""
        row = self.get(STAMP_KEY)
        return None if row is None else float(row)

    def write(self, rows: Mapping[bytes, bytes | None], offset: int, stamp_s: float) -> None:
        """Write changelog rows (None deletes), the offset they reach and the stamp, all or nothing.

        `stamp_s` (seconds since the epoch) is a time at which a complete copy held nothing newer than these rows.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(OFFSET_KEY, b"%d" % offset)
        batch.put(STAMP_KEY, b"%.3f" % stamp_s)
        self._db.write(batch)

    def compacted(self) -> float | None:
        """When this copy was last compacted (seconds since the epoch); None for a new one."""
        row = self.get(COMPACTED_KEY)
        return None if row is None else float(row)

    def note_compacted(self, at_s: float) -> None:
        """Write down when this copy was compacted, or begun."""
        self._db[COMPACTED_KEY] = b"%.3f" % at_s

    def compact(self, at_s: float) -> None:
        """Rewrite all files without what was deleted or overwritten before; takes as long as reading and writing all.

        Other threads go on reading and writing. Done range by range, so that `stop_compacting` ends it soon; then it
        raises CompactionStopped.
        """
        options = CompactOptions()
        options.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        self._db.flush()  # ends the write-ahead log, too
        edges = [None, *self._edges(), None]
        for first, end in pairwise(edges):
            if self._stopped:
                raise CompactionStopped
            self._db.compact_range(first, end, options)
        self.note_compacted(at_s)

    def stop_compacting(self) -> None:
        """End a compaction that runs in another thread, after the range that it is at."""
        self._stopped = True

    def _edges(self) -> list[bytes]:
        """Return the keys between ranges of about `_RANGE_BYTES`, by the first keys of the files."""
        edges, size = [], 0
        for file in sorted(self._db.live_files(), key=lambda file: file["start_key"] or b""):
            size += int(file["size"])
            if size >= _RANGE_BYTES and file["start_key"]:
                edges.append(bytes(file["start_key"]))
                size = 0
        return edges


class LocalStores:
    """Opens partitions within one memory budget.

    `wipe_after_s`: a copy whose stamp is older is wiped. `now` gives seconds since the epoch.
    """

    def __init__(self, *, budget_bytes: int, wipe_after_s: float, now: Callable[[], float]) -> None:
        self._cache = Cache(budget_bytes)
        self._memtables = WriteBufferManager.new_write_buffer_manager_with_cache(
            budget_bytes // 2, allow_stall=False, cache=self._cache
        )
        self._memtable_bytes = min(_MEMTABLE_BYTES, max(1 << 20, budget_bytes // 8))
        self._wipe_after_s = wipe_after_s
        self._now = now

    def options(self) -> Options:
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_bloom_filter(10, block_based=False)
        table.set_format_version(5)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_manager(self._memtables)
        options.set_write_buffer_size(self._memtable_bytes)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(512)
        options.set_keep_log_file_num(2)
        options.set_max_manifest_file_size(_MANIFEST_BYTES)
        return options

    def open(self, path: Path, *, read_only: bool = False) -> Rdict:
        """Open one partition's directory, wiped first if it is too old. The name and shape are Faust's."""
        assert not read_only
        db = Rdict(str(path), options=self.options())
        if self._stale(db):
            log.warning("local state is too old to be completed and is wiped", extra={"path": path.name})
            db.close()
            Rdict.destroy(str(path), self.options())
            db = Rdict(str(path), options=self.options())
        return db

    def _stale(self, db: Rdict) -> bool:
        if db.get(OFFSET_KEY) is None:
            return False
        stamp = db.get(STAMP_KEY)
        return stamp is None or self._now() - float(stamp) > self._wipe_after_s
