"""What the bench asks of everything it measures: ebbtide, and the peers beside it.

`ops.bench.run` calls a contender's methods in the order in which they stand here, once each except `sweep`, and
`stop` in every case. A contender that does its work late (in the background, behind a cache, in an open transaction)
must wait for it: what is timed is work that a crash would not undo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ops.bench.dataset import Dataset
from ops.bench.digest import Digest
from ops.bench.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The broker of this run, the same for all contenders. `pid` and `counts` are None where it is not ours."""

    bootstrap: str
    pid: int | None = None
    counts: Callable[[], Traffic] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One timed piece of work.

    `records` were done in `seconds` by the clock and `cpu_seconds` of the contender's own processes (user and system,
    without the broker's). Peak memory is the largest sum of their resident sets that was seen, in bytes; `peaks` has
    the largest of each role. `store_cpu_seconds` is the CPU of the store that was worked on, where it was looked at.
    """

    records: int
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    broker_cpu_seconds: float = 0.0
    store_cpu_seconds: float = 0.0
    peaks: Mapping[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Records a second by the clock."""
        return self.records / self.seconds

    @property
    def cpu_us_per_record(self) -> float:
        """Microseconds of CPU a record."""
        return self.cpu_seconds * 1e6 / self.records


class Contender(Protocol):
    """One system under measurement, for one round: a new one is made for the next."""

    @property
    def reads_ahead(self) -> bool:
        """Whether it fetches events before `ingest` lets it go: then `prepare` belongs to what it reads."""
        ...

    def prepare(self, broker: Broker, dataset: Dataset) -> None:
        """Start everything and wait until it could work, but has not read an event of `dataset` yet.

        Build steps, topics and policies belong here; the data set's topic is already full.
        """
        ...

    def ingest(self) -> Measured:
        """Take in all events, durably. The first part, `warm_up_records`, is done before the clock starts."""
        ...

    def disk_bytes(self) -> int:
        """Return the size of all state files, with everything taken in written out. Not timed."""
        ...

    def sweep(self, as_of_day: int) -> Measured:
        """Erase all that is due on that day (`Dataset` says what is) and was not swept before, durably.

        Called first for the data set's warm-up day, then for its as-of day.
        """
        ...

    def digest_of_erased(self) -> Digest:
        """Return what was sent out for erasure, read back from where a target would read it. Not timed."""
        ...

    def stop(self) -> None:
        """End all processes. Does nothing when none runs; never raises for one that died."""
        ...


ContenderFactory = Callable[[Path, str], Contender]
"""Makes a contender from an empty directory for its state and a run id, unique in the run: the names of all its topics
begin with it, and its groups' have it."""


def warm_up_records(total: int) -> int:
    """Return how many records pass before the clock starts: just-in-time compilers and caches are part of no bar."""
    return total * 3 // 10
