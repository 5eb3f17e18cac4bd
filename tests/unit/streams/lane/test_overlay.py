"""The overlay against a plain dictionary, over a real RocksDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.lane.overlay import Overlay, ReservedKey, after
from streams.lane.rocks import LocalStores, Partition

KEYS = st.binary(min_size=1, max_size=3).map(lambda key: bytes(1 + byte % 4 for byte in key))


@pytest.fixture
def local(tmp_path: Path) -> Partition:
    stores = LocalStores(budget_bytes=8 << 20, wipe_after_s=1e9, now=lambda: 0.0)
    return Partition(stores.open(tmp_path / "db"))


class MemoryRows:
    """`streams.lane.overlay.Rows` over a dictionary."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def range(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((k, v) for k, v in self.rows.items() if k >= first and (end is None or k < end)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(KEYS, st.just(b"disk"), max_size=12),
    st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2), st.booleans(), KEYS), max_size=25),
)
def test_reads_and_scans_see_the_writes_over_the_disk_as_one_ordered_map(
    disk: dict[bytes, bytes], writes: list[tuple[bytes, bytes | None, bool, bytes]]
) -> None:
    overlay, model = Overlay(MemoryRows(dict(disk))), dict(disk)

    for key, value, look, start in writes:
        if value is None:
            overlay.delete(key)
            model.pop(key, None)
        else:
            overlay.put(key, value)
            model[key] = value
        if look:
            prefix = key[:1]
            want = sorted((k, v) for k, v in model.items() if k.startswith(prefix) and k >= start)

            assert list(overlay.scan(prefix, start)) == want

    assert list(overlay.scan(b"")) == sorted(model.items())
    assert {key: overlay.get(key) for key in disk} == {key: model.get(key) for key in disk}


def test_a_scan_over_rocksdb_shows_every_row_of_its_prefix_and_no_other(local: Partition) -> None:
    rows: dict[bytes, bytes | None] = {b"%c:%03d" % (letter, n): b"v" for letter in b"jkl" for n in range(500)}
    local.write(rows, 1, 0.0)
    overlay = Overlay(local)
    overlay.delete(b"k:100")
    overlay.put(b"k:1000", b"new")

    found = []
    for key, _ in overlay.scan(b"k:", b"k:050"):
        found.append(key)
        bytes(100)  # memory that is used again while the iterator lives: its bound must not be in it

    assert found == sorted([b"k:%03d" % n for n in range(50, 500) if n != 100] + [b"k:1000"])


def test_a_caller_may_write_while_it_scans() -> None:
    overlay = Overlay(MemoryRows({b"a%d" % n: b"disk" for n in range(6)}))
    overlay.put(b"a25", b"pending")

    seen = []
    for key, _ in overlay.scan(b"a"):
        seen.append(key)
        overlay.delete(key)
        if not key.endswith(b"x"):
            overlay.put(key + b"x", b"new")
        list(overlay.scan(b"a"))  # sorts the new keys in, under the open scan

    originals = [b"a0", b"a1", b"a2", b"a25", b"a3", b"a4", b"a5"]
    assert [key for key in seen if key in originals] == originals
    assert seen == sorted(seen)


def test_the_lanes_own_rows_are_neither_written_nor_shown() -> None:
    overlay = Overlay(MemoryRows({b"\0position": b"{}", b"a": b"1"}))

    with pytest.raises(ReservedKey):
        overlay.put(b"\0position", b"x")
    with pytest.raises(ReservedKey):
        overlay.delete(b"")

    assert list(overlay.scan(b"")) == [(b"a", b"1")]


def test_the_size_counts_what_is_pending_and_a_clear_forgets_it() -> None:
    overlay = Overlay(MemoryRows({}))
    overlay.put(b"key", b"value")
    overlay.delete(b"gone")

    assert overlay.size == 3 + 5 + 4
    assert overlay.pending == {b"key": b"value", b"gone": None}

    overlay.clear()

    assert (overlay.size, overlay.pending, overlay.get(b"key")) == (0, {}, None)


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff", None), (b"", None), (b"a\0", b"a\1")]
)
def test_the_end_of_a_prefix_is_the_first_key_behind_it(prefix: bytes, end: bytes | None) -> None:
    assert after(prefix) == end
