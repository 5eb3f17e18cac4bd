"""What was deleted leaves the files of the local copy, and a partition that is closed does not wait for that."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from streams.lane import rocks
from streams.lane.compacting import Compactor
from streams.lane.rocks import LocalStores, Partition

HOUR = 3_600.0


class Copy:
    """A local copy of some rows, its files, and a time that the test sets."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, 1_000.0
        self.rows = {b"row-%04d-%s" % (n, os.urandom(4).hex().encode()): os.urandom(200) for n in range(2_000)}
        self.open()
        self.local.write(dict(self.rows), 1, self.now)

    def open(self) -> None:
        """Open it, as the next assignment does."""
        stores = LocalStores(budget_bytes=8 << 20, wipe_after_s=1e9, now=lambda: self.now)
        self.local = Partition(stores.open(self.path))
        self.compactor = Compactor(6 * HOUR, lambda: self.now)

    def in_files(self, parts: list[bytes]) -> int:
        """How many of `parts` any file has."""
        text = b"".join(path.read_bytes() for path in self.path.iterdir() if path.is_file())
        return sum(part in text for part in parts)

    def look(self) -> None:
        """A checkpoint's look, and the end of what it begins."""
        self.compactor.look(0, self.local)
        for running in self.compactor._running.values():
            running.done.result(60)


def test_deleted_keys_and_values_are_in_no_file_after_the_next_compaction(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "db")
    copy.look()
    copy.local._db.flush()
    erased, kept = list(copy.rows)[:500], list(copy.rows)[500:]
    values = [copy.rows[key][:12] for key in erased]
    copy.local.write(dict.fromkeys(erased), 2, copy.now)
    copy.now += 5 * HOUR
    copy.look()
    before = copy.in_files(erased[:1] + values)

    copy.now += 2 * HOUR
    copy.look()

    assert before > 400
    assert copy.in_files(erased + values) == 0
    assert [key for key, _ in copy.local.range(b"row", None)] == kept
    assert copy.local.compacted() == copy.now


def test_a_copy_that_is_compacted_range_by_range_is_compacted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rocks, "_RANGE_BYTES", 1)
    copy = Copy(tmp_path / "db")
    copy.look()
    rows = list(copy.rows.items())
    for start in range(0, len(rows), 500):  # a file each
        copy.local.write(dict(rows[start : start + 500]), 2, copy.now)
        copy.local._db.flush()
    edges = copy.local._edges()
    copy.local.write(dict.fromkeys(copy.rows), 3, copy.now)

    copy.now += 7 * HOUR
    copy.look()

    assert len(edges) > 3
    assert copy.in_files([key for key, _ in rows] + [value[:12] for _, value in rows]) == 0


def test_a_restart_does_not_put_a_compaction_off(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "db")
    begun = copy.now
    copy.look()

    for _ in range(4):
        copy.now += 2 * HOUR
        copy.local = None  # type: ignore[assignment]
        copy.open()
        copy.look()

    assert copy.local.compacted() == begun + 6 * HOUR


def test_a_partition_that_is_to_be_closed_stops_its_compaction_and_loses_nothing(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "db")

    async def closed() -> None:
        copy.compactor.look(0, copy.local)
        copy.now += 7 * HOUR
        copy.compactor.look(0, copy.local)
        await asyncio.wait_for(copy.compactor.end(0, copy.local), 60)

    asyncio.run(closed())
    copy.local = None  # type: ignore[assignment]
    copy.open()

    assert dict(copy.local.range(b"row", None)) == dict(sorted(copy.rows.items()))
