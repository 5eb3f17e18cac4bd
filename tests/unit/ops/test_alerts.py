"""What the alerts promise: each has a reason, a page and tests; names in them are those that roles serve."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ops.dashboards.write import DASHBOARDS
from tests.support.alerts import ROOT, TESTS, alerts, rules
from tests.support.promql import faults, metrics_of

ALERTS = alerts()
HEADINGS = [
    "What it means",
    "How to look",
    "What to do",
    "When it is over",
    "Why this threshold",
]


def page_of(name: str) -> Path:
    """`EbbtideSweepLate` has `sweep-late.md`."""
    words = re.findall(r"[A-Z][a-z]+", name.removeprefix("Ebbtide"))
    return ROOT / "ops" / "runbooks" / f"{'-'.join(words).lower()}.md"


def test_there_are_these_alerts_and_no_others() -> None:
    assert {name.removeprefix("Ebbtide") for name in ALERTS} == {
        "DeadlineNear",
        "DeadlineMissed",
        "TargetSilent",
        "LedgerStalled",
        "DeadLettersGrowing",
        "SweepLate",
        "NotGone",
        "ResidualRows",
        "Braked",
        "UnusualErasure",
        "NoData",
    }


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_lasts_before_it_fires_and_says_how_bad_it_is_and_what_it_is(name: str) -> None:
    alert = ALERTS[name]

    assert re.fullmatch(r"[1-9]\d*[mh]", alert["for"])
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_speaks_of_metrics_and_labels_that_a_role_serves(rule: dict[str, str]) -> None:
    recorded = {r["record"] for r in rules() if "record" in r}

    assert list(faults(rule["expr"])) == []
    assert metrics_of(rule["expr"]) or any(name in rule["expr"] for name in recorded)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_page_that_says_what_to_do(name: str) -> None:
    page = page_of(name)
    text = page.read_text(encoding="utf-8")
    looked_at = text.split("## How to look")[1].split("## What to do")[0]

    assert ALERTS[name]["annotations"]["runbook_url"] == str(page.relative_to(ROOT))
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert all(part.strip() for part in text.split("## ")[1:])
    assert list(faults(text)) == []
    assert metrics_of(looked_at)


def test_every_page_is_an_alert_s() -> None:
    pages = set((ROOT / "ops" / "runbooks").glob("*.md"))

    assert pages == {page_of(name) for name in ALERTS}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_test_that_makes_it_fire_and_one_that_keeps_it_quiet(name: str) -> None:
    (file,) = [path for path in TESTS if path.stem == page_of(name).stem]
    tests = yaml.safe_load(file.read_text())["tests"]

    checks = [(test["name"], check) for test in tests for check in test["alert_rule_test"]]
    fires = {test for test, check in checks if check.get("exp_alerts")}
    quiet = {test["name"] for test in tests} - fires

    assert {check["alertname"] for _, check in checks} == {name}
    assert fires
    assert all(test.startswith("fires") for test in fires)
    assert quiet
    assert all(test.startswith("stays quiet") for test in quiet)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_named_on_a_dashboard_that_shows_what_it_looks_at(name: str) -> None:
    panels = [panel for dashboard in DASHBOARDS for row in dashboard.rows for panel in row.panels]

    naming = [panel for panel in panels if name.removeprefix("Ebbtide") in panel.text]

    assert naming


@pytest.mark.parametrize("name", ALERTS)
def test_the_operations_page_leads_from_a_promise_to_the_alert_and_its_page(name: str) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\|.*\| \[{name}\]\(\.\./ops/runbooks/{page_of(name).name}\) \|$", operations, re.MULTILINE)

    assert list(faults(row)) == []
    assert metrics_of(row)
