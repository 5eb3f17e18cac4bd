"""What a pure core does with a message that can never succeed: a dead letter that says where it lies.

Its payload stays out, since a pure core has no nonce to encrypt it with: topic and offset say where to find it. Used by
`streams.ledger` and `streams.coordinator`, and proven by their tests.
"""

from __future__ import annotations

from ebbtide.wire import Codec
from schemas.topics import Topics
from streams.reducer import Entry, Send


def dead_letter(entry: Entry, reason: str, *, topics: Topics, codec: Codec, partition: int) -> Send:
    """Return the dead letter of `entry`, on `partition` of the dead letters' topic."""
    record = {
        "topic": entry.topic,
        "partition": entry.partition,
        "offset": entry.offset,
        "reason": reason,
        "detail": "kept in its own topic",
        "producer": "",
        "seen_at": entry.log_ms,
        "payload": b"",
    }
    value = codec.encode("DeadLetter", record)
    return Send(topic=topics.dead_letters, partition=partition, key=entry.topic.encode(), value=value)
