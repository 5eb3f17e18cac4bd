"""The local copy: written all or nothing, wiped when it is older than tombstones live."""

from __future__ import annotations

from pathlib import Path

from streams.lane.rocks import LocalStores, Partition


def stores(now: float) -> LocalStores:
    return LocalStores(budget_bytes=8 << 20, wipe_after_s=100.0, now=lambda: now)


def written(path: Path, stamp_s: float) -> None:
    Partition(stores(stamp_s).open(path)).write({b"a": b"1", b"b": b"2"}, 41, stamp_s)


def test_rows_offset_and_stamp_are_there_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path / "db", 1_000.0)

    local = Partition(stores(1_050.0).open(tmp_path / "db"))

    assert (local.get(b"a"), local.offset(), local.stamp()) == (b"1", 41, 1_000.0)


def test_a_write_deletes_and_puts_together(tmp_path: Path) -> None:
    written(tmp_path / "db", 1_000.0)
    local = Partition(stores(1_000.0).open(tmp_path / "db"))

    local.write({b"a": None, b"c": b"3"}, 42, 1_001.0)

    assert list(local.range(b"\1", None)) == [(b"b", b"2"), (b"c", b"3")]
    assert (local.offset(), local.stamp()) == (42, 1_001.0)


def test_a_copy_older_than_tombstones_live_is_wiped_when_it_is_opened(tmp_path: Path) -> None:
    written(tmp_path / "db", 1_000.0)

    local = Partition(stores(1_100.5).open(tmp_path / "db"))

    assert local.offset() is None
    assert list(local.range(b"", None)) == []


def test_a_copy_without_a_stamp_is_wiped_because_nobody_knows_its_age(tmp_path: Path) -> None:
    db = stores(1_000.0).open(tmp_path / "db")
    db[b"\0offset"] = b"41"
    db[b"a"] = b"1"
    db.close()

    local = Partition(stores(1_000.0).open(tmp_path / "db"))

    assert local.get(b"a") is None


def test_a_range_ends_before_its_end_whatever_happens_to_the_callers_bytes(tmp_path: Path) -> None:
    local = Partition(stores(0.0).open(tmp_path / "db"))
    local.write({b"k:%03d" % n: b"v" for n in range(300)}, 1, 0.0)

    rows = local.range(b"k:100", b"k:" + b"%03d" % 200)  # the bound is a temporary, freed at once but for the range
    found = [next(rows)]
    scratch = [b"\0" * 37 + b"%d" % n for n in range(1_000)]
    found += list(rows)

    assert len(scratch) == 1_000
    assert [key for key, _ in found] == [b"k:%03d" % n for n in range(100, 200)]
