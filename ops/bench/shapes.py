"""The shapes that are measured, by name: what a quick and a full run take, and what bars are judged on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.bench.dataset import Shape

MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRun:
    """How one shape is run.

    `batched`: ebbtide reads batches, as its publisher makes them, the peer single events, since batches are ebbtide's
    own format. `quick` is None where a quick run leaves the shape out; `rounds` are of (quick, full).
    """

    title: str
    full: Shape
    quick: Shape | None = None
    batched: bool = False
    rounds: tuple[int, int] = (1, 1)


SHAPES: Mapping[str, ShapeRun] = {
    "live": ShapeRun(
        title="Live traffic of 200 orgs",
        full=Shape(records=2 * MILLION),
        quick=Shape(records=MILLION // 2),
        rounds=(2, 3),
    ),
    "small-orgs": ShapeRun(
        title="100 000 small orgs",
        full=Shape(records=MILLION // 2, orgs=100_000, zipf=0.0),
        quick=Shape(records=MILLION // 4, orgs=100_000, zipf=0.0),
        rounds=(1, 2),
    ),
    "batched": ShapeRun(
        title="Batched publishers",
        full=Shape(records=2 * MILLION),
        quick=Shape(records=MILLION // 2),
        batched=True,
        rounds=(1, 2),
    ),
    "backfill": ShapeRun(
        title="Backfill over 400 days, told by `ebbtide backfill`'s sorted batches",
        full=Shape(records=MILLION, days=400, disorder=True),
        batched=True,
    ),
    "short-ids": ShapeRun(title="Short ids", full=Shape(records=MILLION, short_ids=True)),
    "huge-org": ShapeRun(title="One org with 90 % of all records", full=Shape(records=MILLION, largest=0.9)),
    "touches": ShapeRun(title="Six of ten events are touches", full=Shape(records=MILLION, touched=0.6)),
    "deletes": ShapeRun(title="Three of ten events are deletes", full=Shape(records=MILLION, deleted=0.3)),
}
