"""Makes the record of a dead letter: what was refused, sealed, with its reason."""

from __future__ import annotations

from typing import Any

from schemas.reasons import REASONS
from schemas.seal import Seal


def dead_letter(
    seal: Seal, payload: bytes, *, topic: str, partition: int, offset: int, reason: str, producer: str, now_ms: int
) -> dict[str, Any]:
    """Return the `DeadLetter` record of one refused message."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "reason": reason,
        "detail": REASONS[reason],
        "producer": producer,
        "seen_at": now_ms,
        "payload": seal.close(payload, topic=topic, partition=partition, offset=offset),
    }
