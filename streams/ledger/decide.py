"""Which rows of a segment are due, and where the others belong: one clock a row, from its marks and its org's.

Pure over columns: `newest` is the newest clock day that is due. A mark older than the row's creation concerns another
record that had the id before. Used by sweep and passes; `tests/unit/streams/ledger/test_clocks.py` is its table.

    created         creation
    last_activity   the later of creation and last touch
    deactivation    the record's deactivation, if no reactivation of it is as late or later; or the org's, if neither
                    the org nor the record was reactivated since; the earlier of the two. Never before creation
    named:x         the latest x of the record or the org. Never before creation
    contract_end    the record's contract end as last told, else the org's. Never before creation
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Columns
from streams.ledger import due, keys
from streams.ledger.marks import Joined
from streams.ledger.plans import CONTRACT, DEACTIVATED, REACTIVATED, TOUCHED, Plan
from streams.ledger.rows import OrgRow
from streams.ledger.state import DAY_S

NEVER: Final = keys.PARKED


def clock_days(plan: Plan, org: OrgRow, category: str, columns: Columns, marks: Joined) -> NDArray[np.int64]:
    """Return each row's clock day; NEVER where its clock has not started."""
    created = columns.clocks.astype(np.int64)
    if plan.kind == "created":
        return created // DAY_S
    if plan.kind == "last_activity":
        return np.maximum(created, marks.latest(TOUCHED)) // DAY_S
    started = due.org_clock(plan, org, category)
    whole = np.full(len(created), -1 if started is None else started, np.int64)
    if plan.kind == "deactivation":
        return _deactivation(created, whole, _own(marks.latest(DEACTIVATED), created), marks.latest(REACTIVATED))
    if plan.kind == "named":
        return _days(np.maximum(whole, _own(marks.latest(plan.follows[0]), created)), created)
    own = marks.latest(CONTRACT)
    return _days(np.where(own > 0, own, whole), created)


def _own(marked: NDArray[np.int64], created: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return marks without those older than the row's creation."""
    return np.where(marked >= created, marked, -1)


def _days(clock: NDArray[np.int64], created: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(clock >= 0, np.maximum(clock, created) // DAY_S, NEVER)


def _deactivation(
    created: NDArray[np.int64], whole: NDArray[np.int64], own: NDArray[np.int64], reactivated: NDArray[np.int64]
) -> NDArray[np.int64]:
    back = _own(reactivated, created)
    by_record = np.where((own >= 0) & (own > back), own, NEVER * DAY_S)
    by_org = np.where((whole >= 0) & (whole > back), whole, NEVER * DAY_S)
    first = np.minimum(by_record, by_org)
    return _days(np.where(first == NEVER * DAY_S, -1, first), created)
