"""Which ledger partitions an event goes to: the org's route, and the shard of its root record.

A record's own events meet it wherever it was put: `created` goes to its shard under the newest count, everything
that follows to its shard under each count the org ever had. Pure. `tests/unit/streams/gateway/test_routing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ebbtide.partition import ledger_partition
from schemas.errors import Halt
from schemas.ragged import Bytes, Rows, murmur2_rows, padded, starts_of
from schemas.subjects import MAX_ORG_BYTES
from streams.gateway.events import CREATED, Slices

SPREAD: Final = -1
"""In the place of a partition: the org has, or had, several shards."""
_MOST: Final = 1 << 18


@dataclass(eq=False)
class BadRoute(Halt):
    """A route that no coordinator writes."""

    why: str

    def __str__(self) -> str:
        return f"the routes topic holds a route with {self.why}; gateways stop, since records would be misplaced"


@dataclass(slots=True)
class Routes:
    """The newest route of each org: every shard count it ever had, oldest first. Unknown orgs have one shard."""

    partitions: int
    shards: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    _epochs: dict[str, int] = field(default_factory=dict, repr=False)
    _places: dict[str, int] = field(default_factory=dict, repr=False)

    def learn(self, route: Mapping[str, object]) -> None:
        """Take in one `Route`; one that is not newer changes nothing. Raises BadRoute."""
        org, epoch, shards = route["org"], route["epoch"], route["shards"]
        if not isinstance(org, str) or not isinstance(epoch, int) or not isinstance(shards, list):
            raise BadRoute("fields of another type")
        counts = tuple(int(s) for s in shards)
        if not counts or any(not 1 <= c <= 4096 for c in counts) or list(counts) != sorted(counts):
            raise BadRoute("shard counts that do not grow from at least 1")
        if epoch > self._epochs.get(org, -1):
            self._epochs[org] = epoch
            self.shards[org] = counts
            self._places.pop(org, None)

    def counts(self, org: str) -> tuple[int, ...]:
        """Return the shard counts of `org`, oldest first."""
        return self.shards.get(org, (1,))

    def places(self, orgs: Sequence[str]) -> Rows:
        """Return the one partition of each org, SPREAD where it has, or had, several shards."""
        if len(self._places) + len(orgs) > _MOST:
            self._places.clear()
        found = list(map(self._places.get, orgs))
        new = [org for org, place in zip(orgs, found, strict=True) if place is None] if None in found else []
        if new:
            self._places.update(zip(new, self._places_of(new), strict=True))
            found = list(map(self._places.get, orgs))
            for org in new:
                if len(org) > MAX_ORG_BYTES:  # of an event that is refused: no org has such a name
                    self._places.pop(org, None)
        return np.array(found, np.int64)

    def _places_of(self, orgs: Sequence[str]) -> list[int]:
        """Work it out for orgs that were not asked for yet: `ledger_partition` of their first shard, all at once."""
        raw = [org.encode() for org in orgs]
        lengths = np.fromiter(map(len, raw), np.int64, len(raw))
        hashes = murmur2_rows(padded(b"".join(raw)), starts_of(lengths), lengths).astype(np.int64)
        found: list[int] = ((hashes & 0x7FFFFFFF) % self.partitions).tolist()
        return [place if self.counts(org) == (1,) else SPREAD for org, place in zip(orgs, found, strict=True)]

    def spread(self, org: str, kind: int, buffer: Bytes, roots: Slices) -> tuple[NDArray[np.intp], Rows]:
        """Return (row, partition) pairs for events of one org and kind; `roots` are empty for org-level events."""
        counts = self.counts(org)
        places = {(c, s): ledger_partition(org, s, self.partitions) for c in set(counts) for s in range(c)}
        hashes = murmur2_rows(buffer, roots.starts, roots.lengths).astype(np.int64) & 0x7FFFFFFF
        whole_org = np.flatnonzero(roots.lengths == 0)
        single = np.flatnonzero(roots.lengths > 0)
        pairs: set[int] = set()
        rows: list[NDArray[np.intp]] = []
        found: list[Rows] = []
        for count in counts[-1:] if kind == CREATED else dict.fromkeys(counts):
            table = np.array([places[count, s] for s in range(count)], np.int64)
            rows.append(single)
            found.append(table[hashes[single] % count])
            pairs.update(table.tolist())
        for partition in sorted(pairs) if len(whole_org) else []:
            rows.append(whole_org)
            found.append(np.full(len(whole_org), partition, np.int64))
        joined = np.stack([np.concatenate(rows), np.concatenate(found)], axis=1)
        distinct = np.unique(joined, axis=0)
        return distinct[:, 0].astype(np.intp), distinct[:, 1]
