"""What the policies say of each record of the demo, worked out again from scratch.

It shares nothing with the engine on purpose: plain dates and the numbers of the demo's data map, record by record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ops.demo.people import DAY_S, ORGS, Record

DAYS = {"messages": 90, "logs": 30}
CONTENT_DAYS = 180
MEDIA_DAYS_AFTER_CONTRACT = 30

Cell = tuple[str, str]
"""(org, category)"""


def must_go(record: Record, *, now_s: int) -> bool:
    """Return whether the policies say that `record` is past its time on the day of `now_s`."""
    org = next(o for o in ORGS if o.id == record.org)
    today = now_s // DAY_S
    match record.category:
        case "content":
            return max(record.created_s, record.touched_s) // DAY_S + CONTENT_DAYS < today
        case "media":
            if org.contract_ended is None:
                return False
            # What is made after the contract's end counts from its own day.
            return max(record.created_s // DAY_S, today - org.contract_ended) + MEDIA_DAYS_AFTER_CONTRACT < today
        case category:
            return record.created_s // DAY_S + org.policy.get(category, DAYS[category]) < today


def count(records: Iterable[Record], *, now_s: int) -> tuple[Counter[Cell], Counter[Cell]]:
    """Return how many records of each org and category must be kept, and how many must go."""
    kept: Counter[Cell] = Counter()
    gone: Counter[Cell] = Counter()
    for record in records:
        (gone if must_go(record, now_s=now_s) else kept)[record.org, record.category] += 1
    return kept, gone
