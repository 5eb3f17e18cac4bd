"""Where a pack ends: about what its events become in frames, and how many messages that leaves room for.

Two things are bounded: what all of a pack makes, and so its memory, and what it makes for one ledger partition, which
is one entry of the log. Pure; `tests/unit/streams/gateway/test_fitting.py` says what it promises.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from schemas.alike import first_uses
from schemas.ragged import Rows
from streams.gateway.events import Events
from streams.gateway.routing import SPREAD
from streams.gateway.spec import Limits

_ROW_BYTES, _SUBJECT_BYTES = 23, 12
_UUID_CHARS, _UUID_BYTES = 36, 16
LEAST_BYTES = 64
"""What a row counts at least: however little of a frame it becomes, it takes memory while the frame is made."""


def frame_bytes(ids: Rows, subjects: Rows) -> Rows:
    """Return about how many bytes of a frame rows become, with ids of so many bytes and so many subjects each.

    An id as long as a UUID counts as one: where it is none, the row still takes no more than a third above this.
    """
    kept = np.where(ids == _UUID_CHARS, _UUID_BYTES, ids)
    return np.maximum(_ROW_BYTES + kept + _SUBJECT_BYTES * subjects, LEAST_BYTES)


def costs_of(events: Events, codes: Rows) -> Rows:
    """Return about how many bytes of a frame each event becomes.

    `codes`: of each head, which says the same texts as others with that code. A frame holds each text once: it counts
    for the first event of the first of them.
    """
    costs = frame_bytes(events.record.lengths, events.subject_counts) + events.parent.lengths
    heads = events.heads
    first = first_uses(codes, int(codes.max(initial=-1)) + 1)
    first = first[first >= 0]
    costs[np.searchsorted(events.head, first)] += heads.org.lengths[first] + heads.name.lengths[first]
    return costs


def that_fit(message: Rows, costs: Rows, partition: Rows, messages: int, limits: Limits) -> int:
    """Return how many of `messages` one pack takes; at least one, if there is one.

    A row an event, by message: the number of its message, which may be behind `messages`, what it costs, and where it
    goes: SPREAD, if that may be several partitions, counts for each that has others too. What is too much for one entry
    is halved, or cut in more equal parts: a large pack and a small one would cost more.
    """
    used = min(messages, _first_beyond(message, costs, limits.pack_output_bytes, messages))
    taken = int(np.searchsorted(message, used))
    message, costs, partition = message[:taken], costs[:taken], partition[:taken]
    spread = partition == SPREAD
    loads = np.bincount(partition[~spread], weights=costs[~spread], minlength=1)
    loads[loads > 0] += costs[spread].sum()  # what only spread rows may reach gets less than any of these
    if not loads.any():
        loads[0] = costs[spread].sum()
    for full in np.flatnonzero(loads > limits.entry_bytes).tolist():
        own = np.flatnonzero(spread | (partition == full))
        share = ceil(loads[full] / ceil(loads[full] / limits.entry_bytes))
        used = min(used, _first_beyond(message[own], costs[own], share, messages))
    return min(messages, max(1, used))


def _first_beyond(message: Rows, costs: Rows, most: int, none: int) -> int:
    """Return the message with the first event that is one too many; `none` if all of them fit."""
    rows = int(np.searchsorted(np.cumsum(costs), most, side="right"))
    return int(message[rows]) if rows < len(message) else none
