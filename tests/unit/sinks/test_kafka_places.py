"""Where keys live: the same whether all is in memory or nearly all in files, and the files say nothing of the keys."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.kafka_places import MEMORY_BYTES, KeyPlaces, Place

TOPICS = ("a", "b")
KEYS = tuple(f"acme/{n}".encode() for n in range(6))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(TOPICS),
        st.integers(0, 2),
        st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True),
        st.sampled_from(["written", "erased", "taken", "taken and put back", "forgotten"]),
    ),
    max_size=40,
)


@pytest.mark.parametrize("memory_bytes", [MEMORY_BYTES, 700], ids=["in memory", "mostly in files"])
@settings(max_examples=60)
@given(steps=STEPS)
def test_each_partition_has_the_newest_offset_of_a_key(
    memory_bytes: int, steps: list[tuple[str, int, list[bytes], str]]
) -> None:
    expected: dict[tuple[str, bytes], dict[int, int]] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(KeyPlaces(Path(directory) / "index", memory_bytes=memory_bytes)) as places,
    ):
        for offset, (topic, partition, keys, what) in enumerate(steps):
            for key in keys:
                of_key = expected.setdefault((topic, key), {})
                if what == "written":
                    places.put(topic, key, Place(partition, offset), lives=True)
                    of_key[partition] = offset
                elif what == "erased":
                    places.put(topic, key, Place(partition, offset), lives=False)
                    of_key.pop(partition, None)
                elif what == "forgotten":
                    places.forget(topic, key, Place(partition, of_key.get(partition, 7)))
                    places.forget(topic, key, Place(partition, offset + 1))  # not where it is: nothing happens
                    of_key.pop(partition, None)
                elif what == "taken":
                    of_key.clear()
            if what.startswith("taken"):
                before = places.places(topic, keys)
                count, there = places.take(topic, keys)
                assert count == len(before)
                assert {(p, key) for p, erased in there.items() for key in erased} == {
                    (place.partition, key) for key, found in before.items() for place in found
                }
                assert places.places(topic, keys) == {}
                assert places.take(topic, keys) == (0, {})
                if what == "taken":
                    places.keep()
                places.undo()

        for topic in TOPICS:
            live = {key: sorted(expected[topic, key].items()) for key in KEYS if expected.get((topic, key))}
            assert places.places(topic, KEYS) == {key: [Place(*one) for one in found] for key, found in live.items()}


@pytest.mark.parametrize("memory_bytes", [MEMORY_BYTES, 0], ids=["in memory", "in files"])
def test_what_was_written_anew_is_not_put_back_where_it_was(memory_bytes: int, tmp_path: Path) -> None:
    with closing(KeyPlaces(tmp_path / "index", memory_bytes=memory_bytes)) as places:
        for partition in (0, 1):
            places.put("a", KEYS[0], Place(partition, 1), lives=True)
        places.take("a", KEYS[:1])
        places.put("a", KEYS[0], Place(0, 9), lives=True)

        places.undo()

        assert places.places("a", KEYS[:1]) == {KEYS[0]: [Place(0, 9), Place(1, 1)]}


def test_what_is_taken_out_comes_by_partition_in_the_order_of_its_keys(tmp_path: Path) -> None:
    keys = [f"acme/{n}".encode() for n in range(100)]
    with closing(KeyPlaces(tmp_path / "index")) as places:
        for n, key in enumerate(keys):
            places.put("a", key, Place(n % 7, n << 22), lives=True)

        assert places.take("a", keys) == (100, {partition: keys[partition::7] for partition in range(7)})


@pytest.fixture
def spilled(tmp_path: Path) -> Iterator[KeyPlaces]:
    with closing(KeyPlaces(tmp_path / "index", memory_bytes=2_000)) as places:
        for n in range(1_000):
            places.put("topic", f"acme/canary-{n}".encode(), Place(n % 3, n), lives=True)
        yield places


def test_what_does_not_fit_in_memory_is_found_in_files(spilled: KeyPlaces) -> None:
    keys = [f"acme/canary-{n}".encode() for n in range(1_100)]

    assert spilled.places("topic", keys) == {keys[n]: [Place(n % 3, n)] for n in range(1_000)}


def test_the_files_hold_no_key_and_go_when_it_is_closed(spilled: KeyPlaces, tmp_path: Path) -> None:
    files = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())

    spilled.close()

    assert len(files) > 1_000
    assert b"canary" not in files
    assert not (tmp_path / "index").exists()


def test_what_is_taken_out_goes_to_the_files_only_where_it_is_said_that_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"acme/{n}".encode() for n in range(100)]
    with closing(KeyPlaces(tmp_path / "index", memory_bytes=5_000)) as places:
        for offset, key in enumerate(keys):
            places.put("a", key, Place(0, offset), lives=True)
        spilled, spill = [], KeyPlaces._spill
        monkeypatch.setattr(KeyPlaces, "_spill", lambda self: (spilled.append(True), spill(self)))

        found = places.take("a", keys)[0]  # in a transaction that is open, and has seconds
        before = len(spilled)
        places.keep()
        places.make_room()

        assert (found, before, len(spilled)) == (100, 0, 1)
        assert places.places("a", keys) == {}


@pytest.mark.parametrize("memory_bytes", [MEMORY_BYTES, 0], ids=["in memory", "in files"])
def test_of_a_key_that_was_taken_twice_the_newer_place_is_put_back(memory_bytes: int, tmp_path: Path) -> None:
    with closing(KeyPlaces(tmp_path / "index", memory_bytes=memory_bytes)) as places:
        for offset in (1, 9):
            places.put("a", KEYS[0], Place(0, offset), lives=True)
            places.take("a", KEYS[:1])

        places.undo()

        assert places.places("a", KEYS[:1]) == {KEYS[0]: [Place(0, 9)]}
