"""A run of lifecycle events as columns, as the bench makes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

DAY_MS = 86_400_000
CREATED, TOUCHED, DELETED = 0, 1, 2
"""Kinds of events, by their ordinal in the public schema."""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Events in their order. `ids` holds their texts one behind the other, all of one length.

    `org` and `category` index the shape's names; `people` has two numbers of subjects a row, of which the second
    counts only where `two`; rows that are not created have none. `millis`: ms since the epoch, UTC.
    """

    kind: Ints
    org: Ints
    category: Ints
    ids: bytes = field(repr=False)
    millis: Ints
    people: Ints
    two: Flags

    def __len__(self) -> int:
        return len(self.org)
