"""PostgreSQL: rows deleted or anonymised in batches, exactly once.

The store's own position and the receipts move in the same transaction as the rows (`sinks.postgres_positions`), so
a kill -9 at any instant leaves both or neither. All batches of one call first go through together, in one transaction
without savepoints (`sinks.postgres_together`). If rows are not there it is done again batch by batch, to count them;
only if a row refuses carefully, and the refusing rows are found by halving (`sinks.postgres_work`). Run by
`streams.runner`; `tests/contract/test_sinks.py` and `tests/integration/targets/` say what it promises.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors

from schemas.plans import PostgresPlan
from sinks import postgres_export as reading
from sinks import postgres_positions as own
from sinks.anonymise import Anonymiser
from sinks.base import Job, NoPlan, Outcome, Page, PlanBroken, Positions, SinkUnavailable, Source, Span, Upkeep
from sinks.batch import DELETE, HIDE, RECTIFY, UNHIDE, Batch, can
from sinks.export import NOT_FOUND, Chunk, Left, Lines, Row, Rows, Wanted
from sinks.gone import GONE, NONE, Bound, Gone, Unknown
from sinks.hiding import Hidden, HideOrder
from sinks.holding import HoldsView, ViewBehindStore
from sinks.postgres_effects import Connection, residual
from sinks.postgres_export import Form
from sinks.postgres_gone import NOT_COVERED, VACUUM_EVERY_S, PostgresPages
from sinks.postgres_hiding import Hider
from sinks.postgres_holds import HoldTable
from sinks.postgres_keys import adapt
from sinks.postgres_lines import read_lines, writes_utf8
from sinks.postgres_patience import Patience, cut_after
from sinks.postgres_table import Key, PlanRefused, Table, bind
from sinks.postgres_together import NotAllThere
from sinks.postgres_vacuum import PLAIN
from sinks.postgres_work import ROW_ERRORS, Way, Work, why

_TRY_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresLimits:
    """Seconds. `answer_s` is for a server that neither answers nor closes: above it the connection is cut. `hide_s` is
    how long one call may hide rows before the runner gets a chance to keep its place in the group, `hide_keys` how many
    keys it takes in one transaction."""

    connect_s: float = 5.0
    lock_s: float = 5.0
    statement_s: float = 60.0
    answer_s: float = 120.0
    careful_lock_s: float = 0.2
    deadlock_attempts: int = 5
    hide_s: float = 60.0
    hide_keys: int = 5_000


class PostgresSink:
    """A target of kind `postgres`. `dsn` may hold a password: it is never shown."""

    def __init__(
        self,
        name: str,
        dsn: str,
        plans: Mapping[str, PostgresPlan],
        *,
        anonymiser: Anonymiser,
        limits: PostgresLimits | None = None,
        inventory: Callable[[Mapping[str, Any] | None], Page] | None = None,
        vacuum: str = PLAIN,
        vacuum_every_s: float = VACUUM_EVERY_S,
    ) -> None:
        self._name = name
        self._dsn = dsn
        self._plans = dict(plans)
        self._anonymiser = anonymiser
        self._limits = limits or PostgresLimits()
        self._inventory = inventory
        self._tables: dict[str, Table] = {}
        self._readable: dict[str, Table] = {}
        self._connection: Connection | None = None
        self._apart = False  # whether batches are done one by one, after rows were not there or it took too long
        self._holds = HoldTable(name)
        self._pages = PostgresPages(name, self._for_vacuums, mode=vacuum, every_s=vacuum_every_s)
        self._hider = Hider(
            name,
            self._using,
            lock_s=self._limits.careful_lock_s,
            budget_s=self._limits.hide_s,
            piece=self._limits.hide_keys,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def positions(self) -> Positions:
        return self

    def check(self) -> None:
        with self._using() as connection:
            own.migrate(connection)
            own.prune(connection, self._name)
            self._tables = {category: bind(connection, plan) for category, plan in self._plans.items()}
            connection.commit()

    def plan(self, category: str, action: str) -> str:
        plan = self._plans.get(category)
        if plan is None or not can(action, anonymise=plan.anonymise, rectify=plan.rectify, hidden=plan.hidden):
            raise NoPlan(self._name, category, action)
        where = f"{plan.schema}.{plan.table} by {plan.org} and {plan.key}"
        if action == DELETE:
            return f"delete rows of {where}"
        if action in (HIDE, UNHIDE):
            return f"{action} rows of {where} by {plan.hidden}"
        if action == RECTIFY:
            return f"set columns of {where} ({', '.join(plan.rectify)})"
        fields = ", ".join(f"{name}: {rule.kind}" for name, rule in plan.anonymise.items())
        return f"anonymise rows of {where} ({fields})"

    def read(self, source: Source, partitions: Sequence[int]) -> dict[int, int | None]:
        with self._using() as connection:
            own.migrate(connection)
            positions = own.read(connection, self._name, source, partitions)
            connection.commit()
            return positions

    def adopt(self, source: Source, starts: Mapping[int, int]) -> None:
        with self._using() as connection:
            own.adopt(connection, self._name, source, starts)
            connection.commit()

    def apply(self, source: Source, jobs: Sequence[Job], spans: Mapping[int, Span]) -> list[Outcome]:
        if not self._tables and self._plans:
            self.check()
        for job in jobs:
            self.plan(job.batch.category, job.batch.action)
        careful, apart = False, self._apart
        for attempt in range(self._limits.deadlock_attempts):
            try:
                with self._using(rows_may_refuse=True) as connection:
                    work = Work(self._name, self._tables, self._anonymiser, self._limits.careful_lock_s)
                    way = work.carefully if careful else work.fast if apart else work.together
                    return self._transaction(connection, source, jobs, spans, way)
            except NotAllThere:
                self._apart = apart = True
            except _TRY_AGAIN:
                time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - two that collided part ways
            except ROW_ERRORS:
                careful = True
        raise SinkUnavailable(self._name, f"{self._limits.deadlock_attempts} transactions in a row met a deadlock")

    def hide(self, source: Source, order: HideOrder, spans: Mapping[int, Span]) -> Hidden:
        if not self._tables and self._plans:
            self.check()
        return self._hider.run(source, order, spans, self._tables.get(order.category))

    def know(self, source: Source, view: HoldsView) -> None:
        try:
            with self._using(rows_may_refuse=True) as connection:
                own.migrate(connection)
                connection.commit()
                self._holds.know(connection, source, view)
        except (*_TRY_AGAIN, *ROW_ERRORS) as error:
            raise SinkUnavailable(self._name, f"a hold could not be made known yet: {why(error)}") from None

    def verify(self, batch: Batch) -> int | Unknown:
        try:
            if not self._tables and self._plans:
                self.check()
            self.plan(batch.category, batch.action)
            with self._using() as connection:
                left = residual(connection, self._tables[batch.category], batch, self._anonymiser)
                connection.rollback()
                return left
        except (SinkUnavailable, NoPlan, PlanBroken) as error:
            return Unknown(str(error))

    def bound(self) -> Bound:
        try:
            with self._using() as connection:
                said = self._pages.bound(connection, self._names())
                connection.rollback()
                return said
        except (SinkUnavailable, PlanBroken) as error:
            return Bound(level=GONE, gone_within_s=Unknown(str(error)), depends_on=NOT_COVERED)

    def gone(self, batches: Sequence[Batch]) -> list[Gone]:
        return [self._gone(batch) for batch in batches]

    def upkeep(self) -> Upkeep:
        """Have the tables vacuumed that were erased from: docs/gone.md."""
        if not self._pages.begun:
            with self._using() as connection:
                self._pages.begin(connection, self._names())
                connection.rollback()
        return Upkeep(vacuums=self._pages.turn())

    def inventory(self, cursor: Mapping[str, Any] | None) -> Page:
        if self._inventory is None:
            return Page(records=(), cursor=None)
        return self._inventory(cursor)

    def export(self, wanted: Wanted) -> Rows | Lines:
        plan = self._plans.get(wanted.category)
        if plan is None:
            raise NoPlan(self._name, wanted.category, "export")
        with self._using() as connection:
            try:
                if wanted.category not in self._readable:
                    self._readable[wanted.category] = bind(connection, plan, reading=True)
            except PlanRefused as error:
                raise PlanBroken(self._name, str(error)) from None
            table = self._readable[wanted.category]
            forms = reading.forms(connection, table)
            lines = wanted.lines and writes_utf8(connection)
            connection.rollback()
        org, keys = table.org_value(wanted.org), table.keys(wanted.record_ids)
        if lines:
            return Lines(self._lines(table, forms, org, keys, len(wanted.record_ids)))

        def rows() -> Generator[Row | Left, None, None]:
            if org is None or not keys:
                return
            with self._using(cut=False) as connection, Patience(connection, self._limits.answer_s) as patience:
                yield from patience.each(reading.read(connection, table, forms, org, keys))
                connection.rollback()

        return Rows(tuple(form.name for form in forms), rows())

    def _lines(
        self, table: Table, forms: Sequence[Form], org: Key | None, keys: Sequence[tuple[int, Key]], asked: int
    ) -> Generator[Chunk | Left, None, None]:
        """Yield what is there of `asked` records, of which `keys` can be in the table."""
        if org is None or len(keys) < asked:
            can_be = {ordinal for ordinal, _ in keys} if org is not None else set()
            yield from (Left(ordinal, NOT_FOUND) for ordinal in range(asked) if ordinal not in can_be)
        if org is None or not keys:
            return
        with self._using(cut=False) as connection, Patience(connection, self._limits.answer_s) as patience:
            yield from patience.each(read_lines(connection, table, forms, org, keys))
            connection.rollback()

    def close(self) -> None:
        self._pages.close()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _gone(self, batch: Batch) -> Gone:
        left = self.verify(batch)
        if left != 0:
            return Gone(level=NONE, left=left)
        plan = self._plans[batch.category]
        try:
            with self._using() as connection:
                answer = self._pages.gone(connection, batch, (plan.schema, plan.table))
                connection.rollback()
                return answer
        except (SinkUnavailable, PlanBroken) as error:
            return Gone(level=NONE, left=Unknown(str(error)))

    def _names(self) -> list[tuple[str, str]]:
        return sorted({(plan.schema, plan.table) for plan in self._plans.values()})

    def _transaction(
        self, connection: Connection, source: Source, jobs: Sequence[Job], spans: Mapping[int, Span], way: Way
    ) -> list[Outcome]:
        with connection.pipeline() as pipeline:
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else a deferred one would refuse the whole commit
            unseen = self._holds.shared(connection, source, {job.batch.org for job in jobs})
            own.lock(connection, self._name, source, spans)
            receipts = own.receipts(connection, self._name, source, [job.batch for job in jobs])
            pipeline.sync()
        if unseen():
            raise ViewBehindStore(self._name, "it knows of a legal hold that this runner has not seen: it looks again")
        digests = [job.batch.digest for job in jobs]
        new = {d: job.batch for d, job in zip(digests, jobs, strict=True) if d not in receipts}
        batches = list(new.values())
        try:
            made = way(connection, batches)
        except errors.QueryCanceled:
            self._apart = True  # a smaller statement may end in time
            raise
        with connection.pipeline():
            own.save(connection, self._name, source, spans, list(zip(batches, made, strict=True)))
        connection.commit()
        deleted = [receipt for batch, receipt in zip(batches, made, strict=True) if batch.action == DELETE]
        if deleted:
            self._apart = any(receipt.missing for receipt in deleted)
        plans = [self._plans[batch.category] for batch, receipt in zip(batches, made, strict=True) if receipt.changed]
        self._pages.touch((plan.schema, plan.table) for plan in plans)
        receipts |= dict(zip(new, made, strict=True))
        return [Outcome(receipt=receipts[digest]) for digest in digests]

    @contextmanager
    def _using(self, *, rows_may_refuse: bool = False, cut: bool = True) -> Iterator[Connection]:
        """Yield the connection in a new transaction; whatever goes wrong, nothing of it stays.

        With `cut` all of it may take as long as one answer. Raises SinkUnavailable or PlanBroken; with
        `rows_may_refuse` the errors that `apply` looks into as they are.
        """
        try:
            connection = self._open()
            with cut_after(connection, self._limits.answer_s) if cut else nullcontext():
                try:
                    yield connection
                except BaseException:
                    with suppress(psycopg.Error):
                        connection.rollback()
                    raise
        except psycopg.Error as error:
            if rows_may_refuse and isinstance(error, (*_TRY_AGAIN, *ROW_ERRORS)):
                raise
            self._disconnect()
            if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
                raise SinkUnavailable(self._name, why(error)) from None
            raise PlanBroken(self._name, why(error)) from None

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            limits = self._limits
            self._connection = self._connect(
                f"ebbtide-target-{self._name}", limits.statement_s, limits.lock_s, limits.answer_s
            )
        return self._connection

    def _for_vacuums(self) -> Connection:
        return self._connect(f"ebbtide-vacuum-{self._name}", 0, self._limits.lock_s, 0)

    def _connect(self, application: str, statement_s: float, lock_s: float, idle_s: float) -> Connection:
        connection: Connection = psycopg.connect(
            self._dsn,
            connect_timeout=max(2, int(self._limits.connect_s)),
            application_name=application[:63],
            options=f"-c statement_timeout={int(statement_s * 1000)} -c lock_timeout={int(lock_s * 1000)} "
            f"-c idle_in_transaction_session_timeout={int(idle_s * 1000)} "
            "-c default_transaction_isolation=read\\ committed",
        )
        adapt(connection)
        return connection
