"""Panels and dashboards as values, and the JSON that Grafana reads.

Only what our dashboards use, in Grafana's own form (schema 39, Grafana 10.2 and later): plain dictionaries, for the
library that describes all of it is larger than the engine. Used by the dashboards beside it and by `__main__`;
`tests/unit/ops/test_dashboards.py` says what is promised.

Expressions carry their own windows, never Grafana's variables, so that they can be tried on any Prometheus;
`tests/integration/test_up.py` tries each on scrapes of a real run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
"""The data source of ops/grafana/provisioning."""

WIDTH: Final = 24
_HEIGHTS: Final = {"stat": 4, "timeseries": 8}
_WIDTHS: Final = {"stat": 6, "timeseries": 12}


@dataclass(frozen=True, slots=True)
class Query:
    """One expression; `legend` may name the labels of its result, `{{target}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `unit` is one of Grafana's; `text` says in plain words what is shown and what would be wrong.

    From `warn` on it is yellow, from `bad` on red; where `falling` is set, from there downwards. `words` replaces
    values by words.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    kind: Literal["stat", "timeseries"] = "timeseries"
    unit: str = "short"
    stacked: bool = False
    warn: float | None = None
    bad: float | None = None
    falling: bool = False
    words: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Return it without its place."""
        return {
            "title": self.title,
            "description": self.text,
            "type": self.kind,
            "datasource": SOURCE,
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self._options(),
            "targets": [
                {
                    "refId": chr(ord("A") + i),
                    "datasource": SOURCE,
                    "expr": q.expr,
                    "legendFormat": q.legend,
                    "range": True,
                }
                for i, q in enumerate(self.queries)
            ],
        }

    def _defaults(self) -> dict[str, Any]:
        found: dict[str, Any] = {"unit": self.unit, "min": 0, "thresholds": self._thresholds()}
        if self.words:
            words = {value: {"text": word, "index": i} for i, (value, word) in enumerate(self.words.items())}
            found["mappings"] = [{"type": "value", "options": words}]
        if self.kind == "timeseries":
            found["custom"] = {
                "fillOpacity": 30 if self.stacked else 0,
                "stacking": {"mode": "normal" if self.stacked else "none"},
            }
        return found

    def _thresholds(self) -> dict[str, Any]:
        marks = [("yellow", self.warn), ("red", self.bad)]
        colours: list[tuple[str, float | None]] = [("green", None)]
        if self.falling:
            # Grafana colours upwards from each mark: red below `bad`, yellow below `warn`, green above.
            colours = [("red", None), ("yellow", self.bad), ("green", self.warn)]
        else:
            colours += [(colour, mark) for colour, mark in marks if mark is not None]
        return {"mode": "absolute", "steps": [{"color": colour, "value": mark} for colour, mark in colours]}

    def _options(self) -> dict[str, Any]:
        if self.kind == "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "textMode": "auto"}
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


@dataclass(frozen=True, slots=True)
class Row:
    """A heading, and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page. `name` is its file's, and with `ebbtide-` before it its address in Grafana."""

    name: str
    title: str
    rows: tuple[Row, ...]

    @property
    def queries(self) -> Iterator[Query]:
        """Every query on it."""
        return (query for row in self.rows for panel in row.panels for query in panel.queries)

    def json(self) -> dict[str, Any]:
        """Return what Grafana reads."""
        return {
            "uid": f"ebbtide-{self.name}",
            "title": self.title,
            "tags": ["ebbtide"],
            "timezone": "utc",
            "schemaVersion": 39,
            "version": 1,
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "editable": False,
            "templating": {"list": []},
            "annotations": {"list": []},
            "links": [{"title": "ebbtide", "type": "dashboards", "tags": ["ebbtide"], "keepTime": True}],
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        """Place panels from left to right, and below where a line is full or the next is of another height."""
        number, y = 0, 0
        for row in self.rows:
            number += 1
            yield {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            }
            y += 1
            x = height = 0
            for panel in row.panels:
                w, h = _WIDTHS[panel.kind], _HEIGHTS[panel.kind]
                if x and (x + w > WIDTH or h != height):
                    x, y = 0, y + height
                height = h
                number += 1
                yield {"id": number, "gridPos": {"x": x, "y": y, "w": w, "h": h}, **panel.json()}
                x += w
            y += height
