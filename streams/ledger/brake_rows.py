"""Rows of braked pairs, and how whatever could lift a brake says so. Logic is in `brakes`; this is imported by all.

PLANNING ─▶ BRAKED ─▶ CHECKING ─▶ APPROVED ─▶ the row goes        approved, and exactly the plan was carried out
    ▲         ▲ │         │           │
    └─────────┴─┴─────────┴───────────┘  what is due is another than it was: the approval is void, a new plan is made
from any of them the row goes when nothing exceeds a limit any more
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streams.ledger import keys
from streams.ledger.rows import Row
from streams.ledger.state import Work

PLANNING, BRAKED, CHECKING, APPROVED = "planning", "braked", "checking", "approved"
FREE, STANDS, GOES_ON = 0, 1, 2
"""`PairRow.braked`: it may be decided, it may not, it may as of its plan's day."""
_NEVER: Final = -1


@dataclass(slots=True)
class BrakeRow(Row):
    """One braked pair, and its plan as of `day` and log offset `position` (-1: it is counted yet).

    `why`: the limit, share or per_day. `policy` names what holds for the pair: under another the plan is none. `digest`
    is that of the selection (`set_digest`). `approval`: the request that approved it. `voided` counts approvals that
    were void. `stale`: something has happened that a count which is under way may not have seen. `told`: the
    coordinator knows of it. `seen`: the ledger day on which it was last held against its limits. `listing`: which list
    counts it (`Run.asked`), or did so last, 0: none has; what another has counted is not its plan.
    """

    state: str
    why: str
    policy: str
    day: int
    position: int = -1
    records: int = -1
    digest: str = ""
    targets: dict[str, int] = field(default_factory=dict)
    action: str = ""
    approval: str = ""
    voided: int = 0
    told: bool = False
    stale: bool = False
    seen: int = _NEVER
    listing: int = 0


def key_of(org: str, category: str) -> bytes:
    return keys.BRAKE + keys.text(org) + keys.text(category)


def read_key(key: bytes) -> tuple[str, str]:
    """Return org and category of a row's key."""
    return keys.read_order(key)


def of(work: Work, org: str, category: str) -> BrakeRow | None:
    return work.row(key_of(org, category), BrakeRow)


def anew(work: Work, org: str) -> None:
    """Have an org's braked pairs looked at and counted again: policy, rules, facts or holds have changed."""
    if not work.clock.brakes:
        return
    for key, _ in list(work.store.scan(keys.BRAKE + keys.text(org))):
        row = work.row(key, BrakeRow)
        if row is not None:
            row.stale, row.seen, work.clock.brakes_day = True, _NEVER, _NEVER
