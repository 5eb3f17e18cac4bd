"""The proof of the proof: bugs planted into the real ledger, each of which a few seeds must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schemas.columns import Columns
from schemas.frames import Group
from streams.ledger import (
    again,
    children,
    counts,
    cut,
    due,
    erase,
    hold_orders,
    marks,
    packs,
    passes,
    pending,
    plans,
    segments,
    sweep,
    waiting,
)
from streams.ledger.intake import Intake
from streams.ledger.retention import due_day, newest_due
from tests.model.simulator import Simulator
from tests.model.witness import Broken

SEEDS = range(16)
DAYS = 75
"""Longer than in `test_runs.py`: what a mark does wrong shows when its record is due."""

Patch = pytest.MonkeyPatch


def due_a_day_early(patch: Patch) -> None:
    def early(effective: Any, clock_day: int) -> int | None:
        day = due_day(effective, clock_day)
        return None if day is None else day - 1

    patch.setattr(plans, "due_day", early)
    patch.setattr(plans, "newest_due", lambda effective, today: newest_due(effective, today + 1))


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


def pending_without_bound(patch: Patch) -> None:
    patch.setattr(cut, "room", lambda work, target: 1 << 20)
    patch.setattr("streams.ledger.sweep.room", lambda work, target: 1 << 20)


def batch_ids_from_a_counter(patch: Patch) -> None:
    numbers = count()
    patch.setattr(cut, "batch_id", lambda *args: f"{next(numbers):032x}")


def replays_taken_as_new(patch: Patch) -> None:
    def all_of_them(self: Intake, groups: Iterable[Group]) -> Iterator[Group]:
        yield from groups

    patch.setattr(Intake, "_fresh", all_of_them)


def policy_changes_not_looked_at(patch: Patch) -> None:
    patch.setattr(due, "replace_all", lambda work, org_name: None)


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


def _no_holds_in(patch: Patch, module: ModuleType) -> None:
    patch.setattr(module, "holds", SimpleNamespace(mask=lambda *_: None))


def holds_ignored_by_the_sweep(patch: Patch) -> None:
    _no_holds_in(patch, sweep)


def holds_ignored_by_passes(patch: Patch) -> None:
    _no_holds_in(patch, passes)


def holds_ignored_by_derived_records(patch: Patch) -> None:
    _no_holds_in(patch, again)


def holds_ignored_when_a_batch_is_sent_again(patch: Patch) -> None:
    _no_holds_in(patch, pending)


def holds_ignored_by_requests(patch: Patch) -> None:
    _no_holds_in(patch, erase)


def holds_in_force_whatever_is_on_its_way(patch: Patch) -> None:
    patch.setattr(hold_orders, "_mark", lambda *_: 1)


def what_a_released_hold_kept_not_looked_at(patch: Patch) -> None:
    patch.setattr(hold_orders, "look_anew", lambda *_: 1)


def requests_ignore_minimum_retains(patch: Patch) -> None:
    patch.setattr(erase, "clock_days", lambda plan, org, category, columns, joined: np.zeros(len(columns), np.int64))


def requests_do_not_reach_what_is_in_packs(patch: Patch) -> None:
    def stored(work: Any, bucket: Any, groups: Any) -> None:
        columns = segments.resolved(Columns.concat([group.columns() for group in groups]))
        segments.store_columns(work, bucket, columns, catch=False)

    patch.setattr(packs, "store_bucket", stored)


def requests_do_not_stand(patch: Patch) -> None:
    patch.setattr(segments, "waiting", SimpleNamespace(catch=lambda work, bucket, columns: columns))


def requests_forget_what_is_on_its_way(patch: Patch) -> None:
    patch.setattr(erase._Search, "_batch", lambda *_: None)


def acks_counted_twice(patch: Patch) -> None:
    acked = counts.acked

    def twice(*args: Any) -> None:
        acked(*args)
        acked(*args)

    patch.setattr(counts, "acked", twice)


BUGS: tuple[Callable[[Patch], None], ...] = (
    due_a_day_early,
    touches_ignored,
    reactivations_ignored,
    a_delete_cancels_what_was_created_later,
    deletes_ignored,
    moves_ignored,
    withheld_rows_forgotten,
    pending_without_bound,
    batch_ids_from_a_counter,
    replays_taken_as_new,
    policy_changes_not_looked_at,
    a_merge_drops_a_row,
    children_forgotten,
    twins_erased_and_the_rest_of_a_segment_lost,
    holds_ignored_by_the_sweep,
    holds_ignored_by_passes,
    holds_ignored_by_derived_records,
    holds_ignored_when_a_batch_is_sent_again,
    holds_ignored_by_requests,
    holds_in_force_whatever_is_on_its_way,
    what_a_released_hold_kept_not_looked_at,
    requests_ignore_minimum_retains,
    requests_do_not_reach_what_is_in_packs,
    requests_do_not_stand,
    requests_forget_what_is_on_its_way,
    acks_counted_twice,
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_a_few_seeds(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)

    with pytest.raises(Broken):
        _play_all()


def test_without_a_bug_the_same_seeds_find_nothing() -> None:
    _play_all()


def _play_all() -> None:
    for seed in SEEDS:
        Simulator(seed, days=DAYS).run()
