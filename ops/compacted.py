"""Reads a compacted topic as the table it is: the newest value of each key as of now."""

from __future__ import annotations

from ops.reading import read_to_end


def newest_values(bootstrap: str, topic: str, *, limit_s: float = 60.0) -> dict[bytes, bytes]:
    """Return the newest committed value of each key of `topic`; keys whose newest value is a tombstone are left out.

    What was committed before the call is in it. Raises `ops.reading.TopicUnreadable` after `limit_s` seconds,
    KafkaException on a broker's error.
    """
    table: dict[bytes, bytes] = {}
    for message in read_to_end(bootstrap, topic, limit_s=limit_s):
        key, value = message.key() or b"", message.value()
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return table
