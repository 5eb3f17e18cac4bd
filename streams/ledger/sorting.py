"""Sorting out: what packs and sheaves hold of each bucket goes where it may lie until it is due.

A bucket with few records, of which nothing but the day decides and whose day has not come, goes into a sheaf; every
other one becomes a segment. Called by `streams.ledger.packs`; `tests/unit/streams/ledger/test_sheaves.py` says what it
promises.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.names import Names
from schemas.ragged import Rows
from streams.ledger import keys, segment_runs, sheaves
from streams.ledger.buckets import Buckets
from streams.ledger.org_classes import CLOSED, classes
from streams.ledger.state import Work

MIN_SEGMENT: Final = 16
"""Records of a bucket that are worth a segment of their own: a row, a place among its pair's, a count of its bucket."""
_NEVER: Final = -1


def sort_out(work: Work, found: Buckets, chosen: NDArray[np.intp]) -> int:
    """Store buckets where they belong now; return how many records were handled beside theirs."""
    if not len(chosen):
        return 0
    due = _due_days(work, found, chosen)
    store(work, found, chosen[due == _NEVER])
    later = np.flatnonzero(due != _NEVER)
    if not len(later):
        return 0
    assert work.rules is not None
    return sheaves.put(work, found, chosen[later], due[later], rules=work.rules.version)


def store(work: Work, found: Buckets, chosen: NDArray[np.intp]) -> None:
    """Store buckets as segments."""
    if len(chosen):
        buckets = [found.key(i) for i in chosen.tolist()]
        segment_runs.store(work, buckets, found.sizes[chosen].tolist(), found.rows(chosen))


def _due_days(work: Work, found: Buckets, chosen: NDArray[np.intp]) -> Rows:
    """Return the day on which each bucket is due, _NEVER where it must be a segment.

    What is asked is asked once for each class of orgs, category and day.
    """
    due = np.full(len(chosen), _NEVER, np.int64)
    small = np.flatnonzero(found.sizes[chosen] < MIN_SEGMENT)
    if work.rules is None or not len(small):
        return due
    places = chosen[small]
    orgs, categories, days = found.orgs.take(places), found.categories, found.days[places]
    known = classes(work, orgs)
    of = known.of.copy()
    of[list(known.asked)] = CLOSED
    of[Names.of(orgs.values).among(sheaves.drawing(work))] = CLOSED
    span = int(days.max()) + 1
    asked = (of[orgs.codes] * len(categories.values) + categories.codes[places]) * span + days
    distinct, place = np.unique(asked, return_inverse=True)
    answers = np.full(len(distinct), _NEVER, np.int64)
    for i, code in enumerate(distinct.tolist()):
        rest, day = divmod(code, span)
        number, category = divmod(rest, len(categories.values))
        plan = known.plan(work, number, categories.values[category]) if number != CLOSED else None
        on = plan.due(day) if plan is not None and not plan.by_event else None
        if on is not None and work.today < on < keys.PARKED:
            answers[i] = on
    due[small] = answers[place]
    return due
