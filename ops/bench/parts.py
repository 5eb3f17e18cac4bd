"""The parts of the bench by name, in the order in which a run goes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ops.bench.core.growth_part import run_growth
from ops.bench.core.kept_part import run_kept
from ops.bench.core.search_part import run_search
from ops.bench.faust_part import run_faust
from ops.bench.restart_part import run_restart
from ops.bench.scale_part import run_scale
from ops.bench.section import Section
from ops.bench.shape_part import run_shape
from ops.bench.shapes import SHAPES
from ops.bench.stage import Stage
from ops.bench.targets.export_part import run_export
from ops.bench.targets.kafka_part import run_kafka
from ops.bench.targets.postgres_part import run_postgres

Part = Callable[[Stage], Section]

PARTS: Mapping[str, Part] = {
    **{name: partial(run_shape, name) for name in SHAPES},
    "postgres": run_postgres,
    "kafka": run_kafka,
    "export": run_export,
    "faust": run_faust,
    "restart": run_restart,
    "kept": run_kept,
    "search": run_search,
    "growth": run_growth,
    "scale": run_scale,
}

FULL_ONLY = frozenset({"faust", "growth", "scale"}) | {name for name, run in SHAPES.items() if run.quick is None}
"""What a quick run leaves out, unless it is asked for by name."""


def chosen(names: list[str], *, quick: bool) -> dict[str, Part]:
    """Return the parts to run: those named, else all. Raises KeyError for a name that is none."""
    if names:
        return {name: PARTS[name] for name in names}
    return {name: part for name, part in PARTS.items() if not (quick and name in FULL_ONLY)}
