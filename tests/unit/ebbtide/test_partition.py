"""Partitions are Java's: the vectors are those of Kafka's own `UtilsTest.testMurmur2`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.partition import ledger_partition, murmur2, partition_of, shard_of


@pytest.mark.parametrize(
    ("key", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_javas_vectors(key: bytes, java: int) -> None:
    assert murmur2(key) == java % 2**32


@given(st.binary(max_size=40), st.integers(1, 100))
def test_a_partition_lies_within_the_count(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


@given(st.text(max_size=20), st.integers(1, 50))
def test_shard_zero_lies_where_the_orgs_own_key_lies(org: str, partitions: int) -> None:
    assert ledger_partition(org, 0, partitions) == partition_of(org.encode(), partitions)


@given(st.text(max_size=20), st.integers(1, 50))
def test_a_root_has_one_shard_and_it_exists(root: str, shards: int) -> None:
    assert 0 <= shard_of(root, shards) < shards
    assert shard_of(root, 1) == 0
