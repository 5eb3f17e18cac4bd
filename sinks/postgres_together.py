"""Deletes many batches with a statement for each org, where every record is there: the usual case.

    batches of one category ─▶ keys of an org in one array ─▶ DELETE ─▶ as many rows as keys? ─▶ each batch: all found
                                                                    └─ no: `NotAllThere`, all of it is taken back

How many rows went says of one statement, and not of each batch in it, how many were there: unless all were. Where
they were not, the same is done batch by batch (`sinks.postgres_work`). A statement for 50 000 keys costs a third of
fifty for a thousand each: neighbours in the index are found on the same page. Called by `sinks.postgres_work`;
`tests/integration/targets/test_postgres.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import sql

from sinks.batch import Batch
from sinks.postgres_effects import Connection, Count, Cursor
from sinks.postgres_keys import ArrayParameter, Packed, elements, packed
from sinks.postgres_table import Key, Table

_OF_ITS_OWN: Final = 256
"""Keys of an org that are worth a statement; orgs with fewer share one, by pairs of org and key."""


class NotAllThere(Exception):
    """Fewer rows went than were asked for, and whose is not known: none of it may stay. Never leaves `sinks`."""


def fits(connection: Connection, tables: Mapping[str, Table], batches: Sequence[Batch]) -> bool:
    """Whether rows that go are records, and the connection's texts are what the arrays hold."""
    return connection.info.encoding == "utf-8" and all(tables[batch.category].unique for batch in batches)


def delete_together(connection: Connection, tables: Mapping[str, Table], batches: Sequence[Batch]) -> list[Count]:
    """Delete the rows of all `batches`; return how many each had. Raises NotAllThere, and what rows refuse with."""
    counts: list[Count] = []
    by_table: dict[str, dict[Key, list[Packed]]] = {}
    for batch in batches:
        table = tables[batch.category]
        org = table.org_value(batch.org)
        keys = Packed(0, b"") if org is None else packed(table.key, batch.record_ids)
        counts.append(Count(keys.count, keys.count))
        if org is not None and keys.count:
            by_table.setdefault(batch.category, {}).setdefault(org, []).append(keys)
    sent: list[Cursor] = []
    with connection.pipeline():
        for category, by_org in by_table.items():
            sent += _send(connection, tables[category], by_org)
    if sum(cursor.rowcount for cursor in sent) != sum(count.found for count in counts):
        raise NotAllThere
    return counts


def _send(connection: Connection, table: Table, by_org: Mapping[Key, Sequence[Packed]]) -> list[Cursor]:
    few = {org: parts for org, parts in by_org.items() if sum(part.count for part in parts) < _OF_ITS_OWN}
    if len(few) < 2:
        few = {}
    sent = [_of_one(connection, table, org, parts) for org, parts in by_org.items() if org not in few]
    return [*sent, _of_many(connection, table, few)] if few else sent


def _of_one(connection: Connection, table: Table, org: Key, parts: Sequence[Packed]) -> Cursor:
    condition, args = table.named(org, ArrayParameter(table.key.base, parts, ordered=True))
    query = sql.SQL("DELETE FROM {} AS t WHERE {}").format(table.name, condition)
    return connection.execute(query, args, prepare=True)


def _of_many(connection: Connection, table: Table, by_org: Mapping[Key, Sequence[Packed]]) -> Cursor:
    orgs = [org for org, parts in by_org.items() for part in parts for _ in range(part.count)]
    condition, args = table.of_category()
    query = sql.SQL(
        "DELETE FROM {} AS t USING unnest(%s::{}[], %s::{}[]) AS u(o, k) WHERE t.{} = u.o AND t.{} = u.k AND {}"
    ).format(
        table.name,
        sql.SQL(table.org.type_sql),
        sql.SQL(table.key.type_sql),
        sql.Identifier(table.org.name),
        sql.Identifier(table.key.name),
        condition,
    )
    org_array = ArrayParameter(table.org.base, [elements(table.org, orgs)])
    key_array = ArrayParameter(table.key.base, [part for parts in by_org.values() for part in parts])
    # Not prepared: the plan is to know how long the arrays are.
    return connection.execute(query, [org_array, key_array, *args], prepare=False)
