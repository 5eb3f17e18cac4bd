"""Reads a topic as any read_committed consumer sees it, from the beginning to its end as of now."""

from __future__ import annotations

from confluent_kafka import Message

from ops.reading import read_to_end


def committed(bootstrap: str, topic: str) -> list[Message[bytes, bytes]]:
    """Return all committed messages of `topic`, in order within each partition."""
    return list(read_to_end(bootstrap, topic))
