"""A fake broker: logs with transactions, whose aborted records and markers leave holes in the offsets.

One thread, no time of its own. Readers see committed records only, in order, as `read_committed` consumers do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.sequence import Sequence
from tests.model.facts import Fact


@dataclass(frozen=True, slots=True)
class Record:
    """One committed record. `fact` is what it says in plain words, for the oracle."""

    offset: int
    value: bytes = field(repr=False)
    sequence: Sequence | None
    log_ms: int
    fact: Fact | None = None


class Log:
    """One partition of one topic."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0

    def hole(self, size: int) -> None:
        """Use offsets up for what no reader will see."""
        self.end += size

    def append(self, value: bytes, sequence: Sequence | None, log_ms: int, fact: Fact | None = None) -> None:
        self.records.append(Record(self.end, value, sequence, log_ms, fact))
        self.end += 1


@dataclass(slots=True)
class Draft:
    """A record that its transaction has not committed."""

    log: Log
    value: bytes = field(repr=False)
    sequence: Sequence | None = None
    fact: Fact | None = None


def commit(drafts: list[Draft], log_ms: int) -> None:
    """Make every record visible at once, with a marker behind them in each log."""
    for draft in drafts:
        draft.log.append(draft.value, draft.sequence, log_ms, draft.fact)
    for log in _logs(drafts):
        log.hole(1)


def abort(drafts: list[Draft]) -> None:
    """Leave nothing but holes."""
    for draft in drafts:
        draft.log.hole(1)
    for log in _logs(drafts):
        log.hole(1)


def _logs(drafts: list[Draft]) -> list[Log]:
    return list({id(draft.log): draft.log for draft in drafts}.values())


Rows = Mapping[bytes, bytes | None]


class Partition:
    """What the broker keeps of one ledger partition. `epoch` fences: only the newest lane's commits count.

    `compacted` is what the changelog's rows come to, each key once.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.ledger = Log()
        self.acks = Log()
        self.erasures: dict[str, Log] = defaultdict(Log)
        self.changelog: list[Rows] = []
        self.compacted: dict[bytes, bytes] = {}
        self.committed: dict[str, int] = {}
        self.epoch = 0

    def log_rows(self, rows: Rows) -> None:
        """Append a checkpoint to the changelog, and compact it."""
        self.changelog.append(rows)
        for key, value in rows.items():
            if value is None:
                self.compacted.pop(key, None)
            else:
                self.compacted[key] = value
