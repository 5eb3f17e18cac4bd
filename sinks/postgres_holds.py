"""Legal holds that are known in a PostgreSQL store: no transaction there erases past one that its runner has not seen.

    an effect        shared lock of its orgs ─▶ is a hold of them known that I have not seen? ─▶ rows ─▶ commit
    making one known exclusive lock of its org, once the effects under way have ended ─▶ its row ─▶ commit

READ COMMITTED, REPEATABLE READ as well, would let both commit beside each other; the advisory lock of the transaction
does not (PostgreSQL, Explicit Locking, 13.3.5). Table `holds` names a hold by the place of its record in Kafka and its
org by 8 hashed bytes: no name is in it. Used by `sinks.postgres`; `tests/integration/targets/test_postgres_holds.py`
says what it promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

from sinks.base import Source
from sinks.holding import HoldsView
from sinks.postgres_effects import Connection

Known = tuple[int, int, int]
"""A hold: its org's key, and the partition and offset of its record."""


def org_key(source: Source, org: str) -> int:
    """Return the key of an org's lock: 64 bits, signed."""
    said = f"ebbtide holds v1\0{source.id}\0{org}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big", signed=True)


class HoldTable:
    """What one target's store and its runner know of holds."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._seen: frozenset[Known] = frozenset()

    def shared(self, connection: Connection, source: Source, orgs: Collection[str]) -> Callable[[], bool]:
        """Lock `orgs` until the transaction ends, so that no hold of them becomes known meanwhile.

        Return what tells, once the pipeline is synchronised, whether one is known already that was not seen.
        """
        if not orgs:
            return lambda: False
        keys = sorted(org_key(source, org) for org in orgs)
        # Two statements: one that waited for the lock would still read what was there when it began.
        connection.execute("SELECT pg_advisory_xact_lock_shared(k) FROM unnest(%s::bigint[]) AS k", (keys,))
        found = connection.execute(
            "SELECT org_key, partition, at_offset FROM ebbtide_target.holds"
            " WHERE target = %s AND source = %s AND org_key = ANY(%s::bigint[])",
            (self._target, source.id, keys),
        )
        return lambda: any(known not in self._seen for known in found.fetchall())

    def know(self, connection: Connection, source: Source, view: HoldsView) -> None:
        """Make known what is in force and forget what is not, org by org, in transactions of their own.

        A view that is older than what another runner made known takes nothing of that back.
        """
        rows = connection.execute(
            "SELECT org_key, partition, at_offset FROM ebbtide_target.holds WHERE target = %s AND source = %s",
            (self._target, source.id),
        ).fetchall()
        connection.rollback()
        there: set[Known] = set(rows)  # type: ignore[arg-type]
        wanted = {(org_key(source, hold.org), hold.place.partition, hold.place.offset) for hold in view.holds}
        for known in sorted(wanted - there):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (known[0],))
            connection.execute(
                "INSERT INTO ebbtide_target.holds (target, source, org_key, partition, at_offset)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (self._target, source.id, *known),
            )
            connection.commit()
        over = [known for known in there - wanted if known[2] < view.read_to.get(known[1], 0)]
        for known in over:
            connection.execute(
                "DELETE FROM ebbtide_target.holds"
                " WHERE target = %s AND source = %s AND org_key = %s AND partition = %s AND at_offset = %s",
                (self._target, source.id, *known),
            )
        connection.commit()
        self._seen = frozenset(wanted)
