"""Which partition a key belongs to: the one function every writer uses and every reader checks.

Clients' defaults disagree (librdkafka hashes with CRC-32, Java and aiokafka with murmur2), so partitions are always
set explicitly. This is Java's: `toPositive(murmur2(key)) % partitions`, `org.apache.kafka.common.utils.Utils`.
"""

from __future__ import annotations

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return Java Kafka's 32-bit murmur2 of `data`, as an unsigned number."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def ledger_partition(org: str, shard: int, partitions: int) -> int:
    """Return the ledger partition of one shard of an org. Shard 0 lies where the org's own key lies."""
    key = org.encode()
    return partition_of(key if shard == 0 else key + b"\0" + str(shard).encode(), partitions)


def shard_of(root_id: str, shards: int) -> int:
    """Return the shard of a record by the id of its root record, so that it meets all that follows it."""
    return 0 if shards == 1 else (murmur2(root_id.encode()) & 0x7FFFFFFF) % shards
