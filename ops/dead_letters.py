"""Reads the newest dead letters; payloads stay sealed. Used by `ebbtide dead-letters`."""

from __future__ import annotations

from typing import Any

from ebbtide.wire import Codec
from ops.reading import read_to_end


def newest_letters(bootstrap: str, topic: str, codec: Codec, *, count: int) -> list[dict[str, Any]]:
    """Return up to `count` of the newest `DeadLetter` records of all partitions, the newest first.

    Raises ops.reading.TopicUnreadable, KafkaException on a broker's error.
    """
    # Markers take offsets too, so twice the count is looked at.
    messages = read_to_end(bootstrap, topic, start=lambda end: end - 2 * count)
    letters = [codec.decode(message.value() or b"")[1] for message in messages]
    return sorted(letters, key=lambda letter: -int(letter["seen_at"]))[:count]
