"""Bugs to plant into the real ledger, and into the lane: what a few seeds of `test_planted_bugs.py` must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from schemas.columns import Columns
from schemas.frames import Group
from streams.lane.position import KEY
from streams.ledger import (
    audited,
    children,
    cut,
    due,
    ledger,
    marks,
    merge,
    packs,
    plans,
    rewrite,
    segments,
    settling,
    waiting,
)
from streams.ledger.intake import Intake
from streams.ledger.retention import due_day, newest_due
from streams.ledger.state import Work
from tests.model.lane import Lane

Patch = pytest.MonkeyPatch


def due_a_day_early(patch: Patch) -> None:
    def early(effective: Any, clock_day: int) -> int | None:
        day = due_day(effective, clock_day)
        return None if day is None else day - 1

    patch.setattr(plans, "due_day", early)
    patch.setattr(plans, "newest_due", lambda effective, today: newest_due(effective, today + 1))


def due_a_day_late(patch: Patch) -> None:
    def late(effective: Any, clock_day: int) -> int | None:
        day = due_day(effective, clock_day)
        return None if day is None else day + 1

    patch.setattr(plans, "due_day", late)
    patch.setattr(plans, "newest_due", lambda effective, today: newest_due(effective, today - 1))


def a_batch_sent_again_is_not_told_to_the_audit_log(patch: Patch) -> None:
    tell = audited.batch

    def forgetful(work: Work, target: str, name: str, head: Any, *, again: bool) -> None:
        if not again:
            tell(work, target, name, head, again=again)

    patch.setattr(audited, "batch", forgetful)


def touches_ignored(patch: Patch) -> None:
    _ignore_marks(patch, plans.TOUCHED)


def reactivations_ignored(patch: Patch) -> None:
    _ignore_marks(patch, plans.REACTIVATED)


def _ignore_marks(patch: Patch, ignored: str) -> None:
    latest = marks.Joined.latest

    def forgetful(self: marks.Joined, name: str) -> Any:
        found = latest(self, name)
        return np.full(len(found), marks.NONE, np.int64) if name == ignored else found

    patch.setattr(marks.Joined, "latest", forgetful)


def a_delete_cancels_what_was_created_later(patch: Patch) -> None:
    def cancelled(self: marks.Joined, target: str) -> Any:
        deleted = self.latest(plans.DELETED)
        if target:
            deleted = np.maximum(deleted, self.latest(marks.deleted_from(target)))
        return deleted > marks.NONE

    patch.setattr(marks.Joined, "cancelled", cancelled)


def deletes_ignored(patch: Patch) -> None:
    patch.setattr(marks.Joined, "cancelled", lambda self, target: self.latest(plans.DELETED) > 1 << 40)


def moves_ignored(patch: Patch) -> None:
    patch.setattr(marks.Joined, "moves", lambda self, name: {})


def withheld_rows_forgotten(patch: Patch) -> None:
    queue = waiting.queue

    def forgetful(work: Any, day: int, rows: waiting.Rows) -> None:
        if rows.forced or not rows.why:
            queue(work, day, rows)

    patch.setattr(waiting, "queue", forgetful)


def withheld_rows_looked_at_a_day_late(patch: Patch) -> None:
    queue = waiting.queue

    def late(work: Any, day: int, rows: waiting.Rows) -> None:
        queue(work, day + 1 if rows.why and not rows.forced else day, rows)

    patch.setattr(waiting, "queue", late)


def pending_without_bound(patch: Patch) -> None:
    patch.setattr(cut, "room", lambda work, target: 1 << 20)
    patch.setattr("streams.ledger.sweep.room", lambda work, target: 1 << 20)


def one_batch_more_than_may_be_pending(patch: Patch) -> None:
    room = cut.room

    def roomier(work: Any, target: str) -> int:
        found = room(work, target)
        return found + 1 if found else 0

    patch.setattr(cut, "room", roomier)
    patch.setattr("streams.ledger.sweep.room", roomier)


def steps_without_a_bound(patch: Patch) -> None:
    def boundless(run: Callable[[Any, int], int]) -> Callable[[Any, int], int]:
        return lambda work, budget: run(work, 1 << 20)

    patch.setattr(ledger, "JOBS", tuple((waiting, boundless(run)) for waiting, run in ledger.JOBS))


def steps_that_count_no_record(patch: Patch) -> None:
    def free(run: Callable[[Any, int], int]) -> Callable[[Any, int], int]:
        return lambda work, budget: min(run(work, budget), 1)

    patch.setattr(ledger, "JOBS", tuple((waiting, free(run)) for waiting, run in ledger.JOBS))


def dead_rows_kept_a_day_too_long(patch: Patch) -> None:
    patch.setattr(rewrite, "DEAD_DAYS", rewrite.DEAD_DAYS + 1)


def a_rewrite_brings_dead_rows_back(patch: Patch) -> None:
    plain = segments.rewrite
    patch.setattr(segments, "rewrite", lambda work, key, segment, dead: plain(work, key, segment, dead[1:]))


def an_org_that_is_not_open_decides(patch: Patch) -> None:
    ensure = Work.ensure_org

    def opened(self: Work, name: str) -> Any:
        org = ensure(self, name)
        org.open = True
        return org

    patch.setattr(Work, "ensure_org", opened)


def orgs_settle_a_round_early(patch: Patch) -> None:
    patch.setattr(settling, "ROUNDS", settling.ROUNDS - 1)


def the_store_written_before_the_commit(patch: Patch) -> None:
    commit = Lane._commit

    def early(self: Lane, applied: Any, drafts: Any, fate: Any) -> None:
        rows = {**self._overlay.pending, KEY: self.position.encode()}
        self.disk.write(rows, len(self.broker.changelog) + 1)
        commit(self, applied, drafts, fate)

    patch.setattr(Lane, "_commit", early)


def derived_records_known_when_they_are_gone(patch: Patch) -> None:
    patch.setattr(children.Children, "among", lambda self, records: np.zeros(len(self.hashes), np.bool_))


def batch_ids_from_a_counter(patch: Patch) -> None:
    numbers = count()
    patch.setattr(cut, "batch_id", lambda *args: f"{next(numbers):032x}")


def replays_taken_as_new(patch: Patch) -> None:
    def all_of_them(self: Intake, groups: Iterable[Group]) -> Iterator[Group]:
        yield from groups

    patch.setattr(Intake, "_fresh", all_of_them)


def policy_changes_not_looked_at(patch: Patch) -> None:
    for module in (due, packs):  # when they are told, and when an org's records are out of sheaves
        patch.setattr(module, "replace_all", lambda work, org_name: None)


def a_merge_forgets_where_records_went(patch: Patch) -> None:
    patch.setattr(merge, "_nowhere", lambda joined, key: joined.cancelled(key.store))


def a_merge_drops_a_row(patch: Patch) -> None:
    store = segments.store_columns

    def lossy(work: Any, bucket: Any, columns: Columns, *, fresh: bool = True, **values: Any) -> None:
        kept = columns if fresh or len(columns) < 2 else columns.slice(0, len(columns) - 1)
        store(work, bucket, kept, fresh=fresh, **values)

    patch.setattr(segments, "store_columns", lossy)


def children_forgotten(patch: Patch) -> None:
    patch.setattr(children, "follow", lambda *_: None)


def twins_erased_and_the_rest_of_a_segment_lost(patch: Patch) -> None:
    remove = segments.mark_dead

    def whole(work: Any, key: Any, segment: Any, rows: Any) -> None:
        remove(work, key, segment, np.arange(segment.count))

    patch.setattr(segments, "mark_dead", whole)
