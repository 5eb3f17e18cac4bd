"""The SQL of each change: put together from the names in `rows` alone, values are always parameters.

Used by `streams.projector.store`; `tests/integration/api/test_projector.py` compares what it does with a model.
"""
# ruff: noqa: S608 - no value is ever part of a statement

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from schemas.jobs import PART_COUNTS
from streams.projector.rows import TABLES, Change, Drop, Put, PutJob, Values


@dataclass(frozen=True, slots=True)
class Statement:
    """`guarded`: a row that is newer is left alone, and then not counted among those that were written."""

    text: str
    guarded: bool = False


def statement_of(change: Change) -> Statement:
    """Return what carries out `change`; changes of one shape share one."""
    match change:
        case Put(table, values):
            return _put(table, tuple(values))
        case PutJob(values, _):
            return _put_job(tuple(values))
        case Drop(table, key):
            return _drop(table, tuple(key))


def parameters_of(change: Change) -> dict[str, Any]:
    """Return the values for its placeholders."""
    match change:
        case Put(_, values):
            return dict(values)
        case PutJob(values, parts):
            return dict(values) | {f"part_{name}": _column(parts, name) for name in _PART}
        case Drop(_, key):
            return dict(key)


_PART: Final = ("partition", "target", *PART_COUNTS, "blocked_by")


def _column(rows: Sequence[Values], name: str) -> list[Any]:
    return [row[name] for row in rows]


@cache
def _put(name: str, columns: tuple[str, ...]) -> Statement:
    table = TABLES[name]
    given = ", ".join(f"%({c})s" for c in columns)
    text = f"INSERT INTO ebbtide.{name} ({', '.join(columns)}) VALUES ({given}) ON CONFLICT ({', '.join(table.key)}) "
    others = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in table.key)
    if table.once:
        return Statement(f"{text}DO NOTHING")
    guard = f" WHERE {name}.{table.guard} <= excluded.{table.guard}" if table.guard else ""
    return Statement(f"{text}DO UPDATE SET {others}{guard}", guarded=bool(guard))


@cache
def _put_job(columns: tuple[str, ...]) -> Statement:
    """Return one statement for a job and its parts, so that an older one can leave neither."""
    part = ", ".join(_PART)
    given = ", ".join(f"%(part_{name})s::{_PART_TYPES.get(name, 'bigint')}[]" for name in _PART)
    counts = ", ".join(f"{name} = excluded.{name}" for name in _PART[2:])
    return Statement(
        f"WITH job AS ({_put('privacy_jobs', columns).text} RETURNING privacy_jobs.org, privacy_jobs.request_id),"
        f" given AS (SELECT * FROM unnest({given}) AS u({part})),"
        " gone AS (DELETE FROM ebbtide.job_parts p USING job WHERE p.org = job.org AND p.request_id = job.request_id"
        " AND NOT EXISTS (SELECT FROM given g WHERE g.partition = p.partition AND g.target = p.target)),"
        f" put AS (INSERT INTO ebbtide.job_parts (org, request_id, {part}) SELECT job.org, job.request_id, given.*"
        f" FROM job, given ON CONFLICT ({', '.join(TABLES['job_parts'].key)}) DO UPDATE SET {counts})"
        " SELECT FROM job",
        guarded=True,
    )


_PART_TYPES: Final = {"partition": "int", "target": "text", "blocked_by": "text"}


@cache
def _drop(name: str, columns: tuple[str, ...]) -> Statement:
    return Statement(f"DELETE FROM ebbtide.{name} WHERE " + " AND ".join(f"{c} = %({c})s" for c in columns))


def delete_all(name: str) -> str:
    """Return what empties a table for whoever looks after the commit."""
    return f"DELETE FROM ebbtide.{name}"
