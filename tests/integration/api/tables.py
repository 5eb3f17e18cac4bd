"""The read model's tables as PostgreSQL has them, and as a model in memory makes them of the same topics."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ops.reading import read_to_end
from schemas.codec import full_codec
from schemas.topics import Topics
from streams.projector.fold import Folder, Unreadable
from streams.projector.rows import TABLES
from tests.support.read_model import Key, MemoryModel

Rows = dict[str, dict[Key, dict[str, Any]]]

_JSON = ("settings", "detail")


def in_postgres(dsn: str) -> Rows:
    """Return every row by table and key."""
    found: Rows = {}
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        for name, table in TABLES.items():
            rows = connection.execute(f"SELECT * FROM ebbtide.{name}".encode()).fetchall()
            found[name] = {tuple(row[column] for column in table.key): row for row in rows}
    return found


def in_memory(bootstrap: str, topics: Topics) -> Rows:
    """Return the rows that the topics' committed records make, read anew."""
    folder, model = Folder(topics, full_codec()), MemoryModel()
    for topic in folder.names():
        for message in read_to_end(bootstrap, topic):
            try:
                model.apply(folder.changes(topic, message.key() or b"", message.value()))
            except Unreadable:
                continue
    return {
        name: {key: {c: json.loads(v) if c in _JSON else v for c, v in row.items()} for key, row in rows.items()}
        for name, rows in model.tables.items()
    }


def positions(dsn: str) -> dict[tuple[str, int], int]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT topic, partition, next_offset FROM ebbtide.positions").fetchall()
    return {(topic, partition): offset for topic, partition, offset in rows}
