"""What every inventory checks of a row before it becomes a record: the same limits that the gateway has.

Used by `sinks.inventory_postgres` and `sinks.inventory_kafka`. A row that breaks one is counted under its reason,
never named: `tests/unit/sinks/test_inventory.py`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from sinks.base import Found, Page

PAGE_ROWS: Final = 50_000
"""Rows that are read, sorted and sent at once: enough for full batches of days, a few tens of MiB."""

MAX_ID_BYTES: Final = 1024
MAX_ORG_BYTES: Final = 256
MAX_CREATED_S: Final = 2**32 - 1
"""Clocks are kept as 32-bit seconds: until 2106."""
MAX_AHEAD_S: Final = 80_000
"""How far in the future a row may lie; the gateway, which looks later, allows a day."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Inventory(Protocol):
    """All records of one target, in an order that a cursor can be put into."""

    def total(self) -> int:
        """Return about how many rows there are."""
        ...

    def page(self, cursor: Mapping[str, Any] | None) -> Page:
        """Return the next page; None starts. Raises sinks.base.SinkUnavailable, PlanBroken."""
        ...

    def close(self) -> None: ...


def admit(
    skipped: Counter[str],
    *,
    category: str,
    org: str | None,
    record_id: str | None,
    created_s: float | None,
    subjects: Sequence[str | None],
    now_s: float,
) -> Found | None:
    """Return the record, or None after counting why there is none."""
    named = tuple(s for s in subjects if s)
    if not org:
        skipped["no_org"] += 1
    elif not record_id:
        skipped["no_id"] += 1
    elif created_s is None:
        skipped["no_created"] += 1
    elif not math.isfinite(created_s) or not 0 <= created_s <= MAX_CREATED_S:
        skipped["bad_created"] += 1
    elif created_s > now_s + MAX_AHEAD_S:
        skipped["created_in_future"] += 1
    elif _CONTROL.search(org) or _CONTROL.search(record_id):
        skipped["bad_text"] += 1
    elif len(record_id.encode()) > MAX_ID_BYTES:
        skipped["id_too_long"] += 1
    elif len(org.encode()) > MAX_ORG_BYTES:
        skipped["org_too_long"] += 1
    elif any(len(s.encode()) > MAX_ID_BYTES for s in named):
        skipped["subject_too_long"] += 1
    else:
        return Found(
            category=category, org=org, record_id=record_id, created_s=math.floor(created_s), subject_ids=named
        )
    return None
