"""Large ledgers built directly: frames of random records, as a gateway would make them of so many events.

Called by the parts beside it. A hundred million records take minutes: encoding is the gateway's own, only decoding
events is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ops.bench.core.partition import TARGET, CorePartition
from schemas.columns import Columns, Ids, Subjects
from schemas.frames import MAX_SEGMENT, GroupHeader, encode_rows
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules

SHORT, LONG = "sessions", "invoices"
PERIOD_DAYS = {SHORT: 3, LONG: 3650}
FIRST_DAY = 20_000
"""The created day of the oldest record that will be due: 2024-10-04."""
DAY_S = 86_400
_FRAME_RECORDS = 1 << 16


def synthetic_rules(*, verify: bool = False) -> Rules:
    """Return rules of two categories, one soon due and one that stays."""
    return Rules(
        version=1,
        lateness_s=0,
        sources={},
        verify_percent=100 if verify else 0,
        categories={
            name: CategoryRules(
                name=name,
                targets=(TARGET,),
                default=Setting(category=name, period=f"{days} d", clock="created", min_retain="0 d", action="delete"),
            )
            for name, days in PERIOD_DAYS.items()
        },
    )


class Filler:
    """Fills one partition; the same seed makes the same records.

    Every record has a subject of its own, but for `known` ones, whose references are in `known`: they have one record
    each, spread over all that is filled first.
    """

    def __init__(self, partition: CorePartition, orgs: int, *, seed: int = 7, known: int = 0) -> None:
        self._partition = partition
        self._rng = np.random.default_rng(seed)
        self.known = self._refs(known)
        self._told = 0
        self.orgs = tuple(f"org-{i:06d}" for i in range(orgs))
        for org in self.orgs:
            partition.open(org)

    def fill(self, category: str, days: Sequence[int], records: int, *, segment: int = MAX_SEGMENT) -> None:
        """Store `records` of `category`, spread over all orgs and `days` in groups of at most `segment` rows."""
        places = [(org, day) for org in self.orgs for day in days]
        share, extra = divmod(records, len(places))
        groups = [
            (org, day, min(segment, size - first))
            for place, (org, day) in enumerate(places)
            for size in [share + (place < extra)]
            for first in range(0, size, segment)
        ]
        waiting: list[tuple[str, int, int]] = []
        frames = max(1, records // _FRAME_RECORDS)
        for group in groups:
            waiting.append(group)
            if sum(count for _, _, count in waiting) >= _FRAME_RECORDS:
                self._frame(category, waiting, -(-len(self.known) // frames))
                waiting = []
        if waiting:
            self._frame(category, waiting, len(self.known))

    def _frame(self, category: str, groups: Sequence[tuple[str, int, int]], known: int) -> None:
        """Hand over one frame, with at most `known` of the known subjects that were not there yet."""
        ordered = sorted(groups)
        headers = [GroupHeader(kind="record", org=org, category=category, day=day) for org, day, _ in ordered]
        counts = [count for _, _, count in ordered]
        total = sum(counts)
        starts = np.repeat(np.array([day * DAY_S for _, day, _ in ordered], np.int64), counts)
        refs = self._refs(total)
        now = self.known[self._told : self._told + min(known, total)]
        refs[self._rng.choice(total, len(now), replace=False)] = now
        self._told += len(now)
        columns = Columns(
            ids=random_ids(self._rng, total),
            clocks=(starts + self._rng.integers(0, DAY_S, total)).astype(np.uint32),
            subjects=Subjects.of(np.ones(total, np.int64), refs),
        )
        self._partition.frame(encode_rows(headers, counts, columns, min_segment=1), total)

    def _refs(self, count: int) -> npt.NDArray[np.uint64]:
        return self._rng.integers(1, 1 << 63, count, dtype=np.uint64)


def random_ids(rng: np.random.Generator, count: int) -> Ids:
    """Return random UUIDs, in the form in which they are kept."""
    data = np.frombuffer(rng.bytes(16 * count), np.uint8)
    return Ids(np.ones(count, np.bool_), np.full(count, 16, np.int64), data)
