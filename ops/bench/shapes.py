"""The shapes that are measured, by name: what a quick and a full run take, and what bars are judged on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.bench.dataset import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRun:
    """How one shape is run.

    `batched`: ebbtide reads batches, as its publisher makes them, the peer single events, since batches are ebbtide's
    own format. `also_batched`: ebbtide runs with single events and with the same as batches in each round, in full
    runs with batches twice, before the peer and behind it. `quick` is None where a quick run leaves the shape out;
    `rounds` are of (quick, full).
    """

    title: str
    full: Shape
    quick: Shape | None = None
    batched: bool = False
    also_batched: bool = False
    rounds: tuple[int, int] = (1, 1)


SHAPES: Mapping[str, ShapeRun] = {
    "live": ShapeRun(
        title="Live traffic of 200 orgs, one event a message and from batched publishers",
        full=Shape(records=3_600_000),
        quick=Shape(records=200_000),
        also_batched=True,
        rounds=(2, 2),
    ),
    "small-orgs": ShapeRun(
        title="100 000 small orgs",
        full=Shape(records=1_600_000, orgs=100_000, zipf=0.0, days=32, sweeps=(28, 27)),
        quick=Shape(records=20_000, orgs=100_000, zipf=0.0),
        rounds=(1, 2),
    ),
    "backfill": ShapeRun(
        title="Backfill over 400 days, told by `ebbtide backfill`'s sorted batches",
        full=Shape(records=150_000, days=400, disorder=True),
        batched=True,
    ),
    "short-ids": ShapeRun(title="Short ids", full=Shape(records=500_000, short_ids=True)),
    "huge-org": ShapeRun(title="One org with 90 % of all records", full=Shape(records=500_000, largest=0.9)),
    "touches": ShapeRun(title="Six of ten events are touches", full=Shape(records=300_000, touched=0.6)),
    "deletes": ShapeRun(title="Three of ten events are deletes", full=Shape(records=300_000, deleted=0.3)),
}
