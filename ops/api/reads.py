"""What the API asks the read model: one small question each, always of one org.

Used by the routes; `tests/integration/api/` runs them all on a real PostgreSQL.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ops.api.problems import Problem, invalid

Row = dict[str, Any]
Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]

POOL_SIZE: Final = 8
ANSWER_S: Final = 5
WAIT_S: Final = 2.0
"""For a connection of the pool."""
KEPT_DAYS: Final = 30
"""For so long it is known what was asked under an Idempotency-Key."""

_DAY_MS: Final = 86_400_000
_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, psycopg.errors.UndefinedTable)


def make_pool(dsn: str) -> Pool:
    """Return the pool, not yet open. No question takes longer than ANSWER_S."""
    options = f"-c statement_timeout={ANSWER_S * 1000} -c lock_timeout={ANSWER_S * 1000}"
    return AsyncConnectionPool(
        dsn,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": options,
            "application_name": "ebbtide-api",
            "connect_timeout": ANSWER_S,
            "tcp_user_timeout": 2 * ANSWER_S * 1000,
        },
        min_size=1,
        max_size=POOL_SIZE,
        timeout=WAIT_S,
        open=False,
    )


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; empty: all."""

    states: Sequence[str] = ()
    kinds: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads rows; raises Problem, `unavailable`, where PostgreSQL does not answer or has no tables."""

    pool: Pool

    async def retention(self, org: str) -> Row | None:
        """Return an org's policy in force."""
        return await self._one("SELECT * FROM ebbtide.org_retention WHERE org = %s", org)

    async def history(self, org: str, *, below: int | None, limit: int) -> list[Row]:
        """Return policy versions, the newest first."""
        return await self._all(
            "SELECT * FROM ebbtide.policy_history WHERE org = %s AND (%s::int IS NULL OR version < %s)"
            " ORDER BY version DESC LIMIT %s",
            *(org, below, below, limit),
        )

    async def holds(self, org: str, *, after: str, limit: int) -> list[Row]:
        """Return holds by their ids."""
        return await self._all(
            "SELECT * FROM ebbtide.holds WHERE org = %s AND hold_id > %s ORDER BY hold_id LIMIT %s",
            *(org, after, limit),
        )

    async def hold(self, org: str, hold_id: str) -> Row | None:
        """Return one hold."""
        return await self._one("SELECT * FROM ebbtide.holds WHERE org = %s AND hold_id = %s", org, hold_id)

    async def job(self, org: str, request_id: str) -> Row | None:
        """Return one job with its parts."""
        found = await self._one(
            "SELECT * FROM ebbtide.privacy_jobs WHERE org = %s AND request_id = %s", org, request_id
        )
        return None if found is None else (await self._with_parts(org, [found]))[0]

    async def jobs(self, org: str, asked: JobFilter, *, below: tuple[int, str] | None, limit: int) -> list[Row]:
        """Return jobs with their parts, the newest first; `below` is the last one of the page before.

        What an export's `detail` says of its files is left out: a page of them would be megabytes.
        """
        at, own = below or (None, None)
        found = await self._all(
            "SELECT *, detail - 'files' - 'manifest' AS detail FROM ebbtide.privacy_jobs WHERE org = %s"
            " AND (%s::bigint IS NULL OR (requested_at, request_id) < (%s, %s))"
            " AND (cardinality(%s::text[]) = 0 OR state = ANY(%s))"
            " AND (cardinality(%s::text[]) = 0 OR kind = ANY(%s))"
            " ORDER BY requested_at DESC, request_id DESC LIMIT %s",
            *(org, at, at, own, *([list(asked.states)] * 2), *([list(asked.kinds)] * 2), limit),
        )
        return await self._with_parts(org, found)

    async def hand_outs(self, org: str, request_id: str) -> list[Row]:
        """Return which files of an export were handed out, in their order."""
        return await self._all(
            "SELECT file, name, principal, at FROM ebbtide.hand_outs WHERE org = %s AND request_id = %s ORDER BY id",
            *(org, request_id),
        )

    async def hand_out(self, org: str, request_id: str, file: int, name: str, principal: str, now_ms: int) -> None:
        """Note that a file is handed out now."""
        await self._one(
            "INSERT INTO ebbtide.hand_outs (org, request_id, file, name, principal, at) VALUES (%s, %s, %s, %s, %s, %s)"
            " RETURNING id",
            *(org, request_id, file, name, principal, now_ms),
        )

    async def certificate(self, org: str, request_id: str) -> str | None:
        """Return the newest certificate of a job, None where it has none."""
        found = await self._one(
            "SELECT body FROM ebbtide.certificates WHERE org = %s AND request_id = %s", *(org, request_id)
        )
        return None if found is None else str(found["body"])

    async def positions(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return how far the projector is with one partition of each topic."""
        rows = await self._all(
            "SELECT topic, next_offset FROM ebbtide.positions WHERE topic = ANY(%s) AND partition = %s",
            *(list(topics), partition),
        )
        return {row["topic"]: row["next_offset"] for row in rows}

    async def remember(self, org: str, request_id: str, fingerprint: bytes, now_ms: int) -> tuple[Row, bool]:
        """Keep what an Idempotency-Key stands for; return what it stood for first, and whether that is now."""
        made = await self._one(
            "INSERT INTO ebbtide.idempotency_keys (org, request_id, fingerprint, requested_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING RETURNING fingerprint, requested_at",
            *(org, request_id, fingerprint, now_ms),
        )
        if made is not None:
            return made, True
        there = await self._one(
            "SELECT fingerprint, requested_at FROM ebbtide.idempotency_keys WHERE org = %s AND request_id = %s",
            *(org, request_id),
        )
        return there or {"fingerprint": fingerprint, "requested_at": now_ms}, there is None

    async def forget(self, now_ms: int) -> None:
        """Forget calls that are older than KEPT_DAYS: their keys are then refused."""
        async with self._connection() as connection:
            await connection.execute(
                "DELETE FROM ebbtide.idempotency_keys WHERE requested_at < %s", (now_ms - KEPT_DAYS * _DAY_MS,)
            )

    async def answers(self) -> None:
        """Raise Problem, `unavailable`, unless the tables are there."""
        await self._one("SELECT 1 FROM ebbtide.positions LIMIT 1")

    async def _with_parts(self, org: str, jobs: Sequence[Row]) -> list[Row]:
        parts = await self._all(
            "SELECT * FROM ebbtide.job_parts WHERE org = %s AND request_id = ANY(%s) ORDER BY target, partition",
            *(org, [job["request_id"] for job in jobs]),
        )
        by_job: dict[str, list[Row]] = {}
        for part in parts:
            by_job.setdefault(part["request_id"], []).append(part)
        return [job | {"parts": by_job.get(job["request_id"], [])} for job in jobs]

    async def _all(self, query: str, *values: object) -> list[Row]:
        async with self._connection() as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

    async def _one(self, query: str, *values: object) -> Row | None:
        async with self._connection() as connection:
            return await (await connection.execute(query.encode(), values)).fetchone()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[DictRow]]:
        try:
            async with self.pool.connection() as connection:
                yield connection
        except _AWAY:
            raise Problem(
                "unavailable", detail="The read model does not answer.", headers={"Retry-After": "2"}
            ) from None


def cursor_of(place: Sequence[object]) -> str:
    """Return the text that stands for a place in a list; its form is ours to change."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str, *kinds: type) -> list[Any]:
    """Return the place that a cursor stands for: values of `kinds`. Raises Problem, `invalid`."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        place = None
    fits = isinstance(place, list) and len(place) == len(kinds)
    if not fits or any(type(value) is not kind for value, kind in zip(place, kinds, strict=True)):
        raise invalid(("?cursor", "is not one that this list gave"))
    for value in place:
        if (isinstance(value, int) and not -(2**63) <= value < 2**63) or (isinstance(value, str) and "\0" in value):
            raise invalid(("?cursor", "is not one that this list gave"))
    return list(place)


def page(rows: Sequence[Row], limit: int, *columns: str) -> tuple[Sequence[Row], str | None]:
    """Return at most `limit` of `rows`, and the cursor of the next page if there is more: ask for one row more."""
    if len(rows) <= limit:
        return rows, None
    last: Mapping[str, Any] = rows[limit - 1]
    return rows[:limit], cursor_of([last[column] for column in columns])
