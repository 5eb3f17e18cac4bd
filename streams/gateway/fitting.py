"""Where a pack ends: about what its events become in frames, and how many messages that leaves room for.

Two things are bounded: what all of a pack makes, and so its memory, and what it makes for one ledger partition, which
is one entry of the log. Pure; `tests/unit/streams/gateway/test_fitting.py` says what it promises.
"""

from __future__ import annotations

import numpy as np

from schemas.ragged import Rows
from streams.gateway.routing import SPREAD
from streams.gateway.spec import Limits

_ROW_BYTES, _SUBJECT_BYTES = 23, 12
_UUID_CHARS, _UUID_BYTES = 36, 16
_LEAST_BYTES = 64
"""What a row counts at least: however little of a frame it becomes, it takes memory while the frame is made."""


def frame_bytes(ids: Rows, subjects: Rows) -> Rows:
    """Return about how many bytes of a frame rows become, with ids of so many bytes and so many subjects each.

    An id as long as a UUID counts as one: where it is none, the row still takes no more than a third above this.
    """
    kept = np.where(ids == _UUID_CHARS, _UUID_BYTES, ids)
    return np.maximum(_ROW_BYTES + kept + _SUBJECT_BYTES * subjects, _LEAST_BYTES)


def fitting(message: Rows, costs: Rows, partition: Rows, messages: int, limits: Limits) -> int:
    """Return how many of `messages` fit in one pack; at least one.

    A row an event, by message: the number of its message, its `frame_bytes`, and the partition it goes to, SPREAD where
    that may be any.
    """
    used = _first_beyond(message, costs, limits.pack_output_bytes, messages)
    anywhere = partition == SPREAD
    loads = np.bincount(partition[~anywhere], weights=costs[~anywhere], minlength=1) + costs[anywhere].sum()
    for full in np.flatnonzero(loads > limits.entry_bytes).tolist():
        own = np.flatnonzero(anywhere | (partition == full))
        used = min(used, _first_beyond(message[own], costs[own], limits.entry_bytes, messages))
    return max(1, used)


def _first_beyond(message: Rows, costs: Rows, most: int, none: int) -> int:
    """Return the message with the first event that is one too many; `none` if all of them fit."""
    rows = int(np.searchsorted(np.cumsum(costs), most, side="right"))
    return int(message[rows]) if rows < len(message) else none
