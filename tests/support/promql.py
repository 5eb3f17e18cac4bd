"""What an expression of Prometheus speaks of: its metrics, their label matchers, and the labels it groups by.

No parser: promtool and Prometheus itself check the language. This checks names against `ops.metric_defs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ops.metric_defs import DEFINITIONS, FIXED, MetricDef
from ops.roles import ROLES

SCRAPE_LABELS = {"job", "instance", "service"}
"""What Prometheus adds by itself, and by ops/prometheus/prometheus.yml."""

_OWN = re.compile(r"(?<![\w:])(ebbtide_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)")

_CLOSED = {**FIXED, "role": tuple(name.partition(":")[0] for name in ROLES)}


def series() -> dict[str, MetricDef]:
    """Each series name that a role serves, with its metric."""
    found = {}
    for d in DEFINITIONS:
        for suffix in ("_bucket", "_sum", "_count") if d.kind == "histogram" else ("",):
            found[d.name + suffix] = d
    return found


def faults(expr: str) -> Iterator[str]:
    """Yield what `expr` says of metrics or labels that are not there."""
    known, labels = series(), set(SCRAPE_LABELS)
    for name, matchers in _OWN.findall(expr):
        if name not in known:
            yield f"no role serves {name}"
            continue
        labels |= {*known[name].labels, *(("le",) if name.endswith("_bucket") else ())}
        for label, values in _MATCHER.findall(matchers):
            if label not in known[name].labels:
                yield f"{name} has no label {label}"
            for value in values.split("|"):
                if label in _CLOSED and value not in _CLOSED[label]:
                    yield f"{label} is never {value!r}"
    for group in grouped(expr):
        if group not in labels:
            yield f"nothing has the label {group}"


def metrics_of(expr: str) -> set[str]:
    """Return the names of our series in `expr`."""
    return {name for name, _ in _OWN.findall(expr)}


def grouped(expr: str) -> set[str]:
    """Return every label that `expr` groups or matches by."""
    return {label.strip() for group in _GROUPING.findall(expr) for label in group.split(",") if label.strip()}
