"""Which ledger partitions an event goes to: the org's route, and the shard of its root record.

A record's own events meet it wherever it was put: `created` goes to its shard under the newest count, everything
that follows to its shard under each count the org ever had. Pure. `tests/unit/streams/gateway/test_routing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ebbtide.partition import ledger_partition
from schemas.errors import Halt
from schemas.names import Names
from schemas.ragged import Bytes, Rows, murmur2_rows
from streams.gateway.events import CREATED, Slices

SPREAD: Final = -1
"""In the place of a partition: the org has, or had, several shards."""


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
    _spread: Names | None = field(default=None, repr=False)

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
            if counts != self.counts(org):
                self._spread = None
            self.shards[org] = counts

    def counts(self, org: str) -> tuple[int, ...]:
        """Return the shard counts of `org`, oldest first."""
        return self.shards.get(org, (1,))

    def first(self, orgs: Names) -> Rows:
        """Return the partition of the first shard of each org: `ledger_partition`, of all at once."""
        hashes = murmur2_rows(orgs.buffer, orgs.starts, orgs.lengths).astype(np.int64)
        return (hashes & 0x7FFFFFFF) % self.partitions

    def spread_orgs(self) -> Names:
        """Return the orgs that have, or had, several shards."""
        if self._spread is None:
            self._spread = Names.of([org for org, counts in self.shards.items() if counts != (1,)])
        return self._spread

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
