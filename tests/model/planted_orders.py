"""Bugs to plant into holds and erasures: what a few seeds of `test_planted_orders.py` must find."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schemas.columns import Columns
from streams.ledger import (
    again,
    counts,
    erase,
    hold_orders,
    packs,
    passes,
    pending,
    search,
    segment_runs,
    segments,
    sweep,
)

Patch = pytest.MonkeyPatch


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
    patch.setattr(segment_runs, "barriers", SimpleNamespace(of=lambda work, org: None))


def requests_do_not_stand(patch: Patch) -> None:
    patch.setattr(segments, "waiting", SimpleNamespace(catch=lambda work, bucket, columns: columns))


def requests_forget_what_is_on_its_way(patch: Patch) -> None:
    patch.setattr(search._Search, "_batch", lambda *_: None)


def acks_counted_twice(patch: Patch) -> None:
    acked = counts.acked

    def twice(*args: Any) -> None:
        acked(*args)
        acked(*args)

    patch.setattr(counts, "acked", twice)
