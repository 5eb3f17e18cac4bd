"""How far a backfill is: one JSON record a target on the compacted `backfill` topic.

Written in the transaction of the page it speaks of, so after a crash either both are there or neither. Used by
`ops.backfill.run`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from schemas.errors import Halt


class BadCheckpoint(Halt):
    """A checkpoint is none that this version wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """After a page: the cursor of the next one, and what was counted so far. `signature` is the plans'."""

    signature: str
    cursor: Mapping[str, Any] | None = field(default=None, repr=False)
    finished: bool = False
    seen: int = 0
    records: int = 0
    batches: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read `encode`'s bytes. Raises BadCheckpoint."""
        try:
            return cls(**json.loads(value))
        except (ValueError, TypeError) as error:
            raise BadCheckpoint(f"a record on the backfill topic is no checkpoint: {type(error).__name__}") from None
