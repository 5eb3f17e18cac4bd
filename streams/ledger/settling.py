"""Orgs that were opened lately: none of their records is due until all that was said before has come.

An org is opened last, behind its records and their latest activity. That comes by way of the gateway, the opening by
way of the coordinator, and either may be behind the other: a record would go whose touch still waits in its source. So
an org waits until every source has been heard `ROUNDS` more times. The gateway asks how far its sources reach only when
its last watermark is written, so the third one behind the opening speaks of a time after it, even where the first came
from a gateway that has lost the source meanwhile. No clock decides, so none that is wrong or stands still can.

    OrgOpen ─▶ org.settles = a round to come ─▶ nothing is due by the day ─▶ Watermarks, round by round ─▶ pairs placed

What people ask for does not wait. Called by `orgs` and `clock`; `tests/unit/streams/ledger/test_settling.py` says what
it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from streams.ledger import due, keys
from streams.ledger.rows import OrgRow, WatermarksRow
from streams.ledger.state import Work

ROUNDS: Final = 3
"""So many watermarks of each source must come behind an org's opening."""
AT_ONCE: Final = 1024
"""So many orgs settle in one entry at most; the others with the next ones."""


def begin(work: Work, name: str, org: OrgRow) -> None:
    """Let an org that was just opened wait for its sources, if there are any."""
    if work.rules is not None and not work.rules.sources:
        return
    row = watermarks(work)
    org.settles = row.rounds + ROUNDS + bool(row.heard)  # a round that has begun may have done so before
    work.store.put(keys.settling(org.settles, name), b"1")
    work.clock.settling += 1


def hear(work: Work, row: WatermarksRow, heard: Iterable[tuple[str, int]]) -> None:
    """Take note of which sources a watermark speaks of; a round ends when it was all of them."""
    if work.rules is None:
        return
    known = {*row.heard, *(_named(topic, partition) for topic, partition in heard)}
    sources = (_named(topic, partition) for topic, n in work.rules.sources.items() for partition in range(n))
    if known.issuperset(sources):
        row.rounds, row.heard = row.rounds + 1, []
    else:
        row.heard = sorted(known)


def go_on(work: Work) -> None:
    """Settle orgs that have waited long enough: what is due of them goes from now on."""
    rules = work.rules
    if not work.clock.settling or rules is None:
        return
    rounds = watermarks(work).rounds
    for key, _ in list(islice(work.store.scan(keys.SETTLING), AT_ONCE)):
        until, name = keys.read_settling(key)
        if until > rounds and rules.sources:
            return
        work.store.delete(key)
        work.clock.settling -= 1
        org = work.ensure_org(name)
        org.settles = 0
        work.changed.add(name)
        due.replace_all(work, name)


def watermarks(work: Work) -> WatermarksRow:
    """Return how far each source is."""
    return work.row(keys.WATERMARKS, WatermarksRow) or work.add_row(keys.WATERMARKS, WatermarksRow())


def _named(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"
