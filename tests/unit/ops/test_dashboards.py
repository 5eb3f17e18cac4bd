"""What the dashboards promise: the files are what the code makes, and they speak of what the roles serve."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from ops.dashboards.grafana import WIDTH, Dashboard, Query
from ops.dashboards.write import DASHBOARDS, DIRECTORY, files, write
from tests.support.promql import faults, grouped, metrics_of

QUERIES = [query for dashboard in DASHBOARDS for query in dashboard.queries]


def test_the_files_that_grafana_reads_are_what_the_code_makes() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}

    assert there == files(), "run `make dashboards` and commit what it writes"


def test_writing_removes_what_no_dashboard_makes_any_more(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")

    written = write(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted(written)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expr[:60])
def test_every_expression_speaks_of_metrics_and_labels_that_a_role_serves(query: Query) -> None:
    assert list(faults(query.expr)) == []
    assert metrics_of(query.expr) or "ALERTS" in query.expr


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expr[:60])
def test_a_legend_names_labels_that_its_expression_keeps(query: Query) -> None:
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= grouped(query.expr)
    assert "$" not in query.expr  # Grafana's variables: the expression could not be tried without Grafana


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_panels_fill_the_page_without_lying_on_each_other(dashboard: Dashboard) -> None:
    places = [panel["gridPos"] for panel in dashboard.json()["panels"]]
    cells = [{(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])} for p in places]

    assert all(x < WIDTH for cell in cells for x, _ in cell)
    assert not any(a & b for a, b in itertools.combinations(cells, 2))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_every_panel_says_what_it_shows(dashboard: Dashboard) -> None:
    panels = [panel for row in dashboard.rows for panel in row.panels]

    assert panels
    assert all(panel.text.endswith(".") for panel in panels)
    assert len({panel.title for panel in panels}) == len(panels)


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("sum(ebbtide_dreams_total)", "no role serves ebbtide_dreams_total"),
        ("sum by (moon) (ebbtide_jobs)", "nothing has the label moon"),
        ('ebbtide_jobs{org="acme"}', "ebbtide_jobs has no label org"),
        ('ebbtide_jobs{state="asleep"}', "state is never 'asleep'"),
        ("rate(ebbtide_pack_seconds[5m])", "no role serves ebbtide_pack_seconds"),
    ],
)
def test_a_wrong_name_in_an_expression_is_found(expr: str, fault: str) -> None:
    assert list(faults(expr)) == [fault]
