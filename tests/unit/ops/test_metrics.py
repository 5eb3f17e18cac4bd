"""What metrics promise: declared once, at 0 from the start, labels from closed sets."""

from __future__ import annotations

import re
import urllib.request

import pytest

from ops.metric_defs import DEFINITIONS
from ops.metrics import Domains, Metrics

DOMAINS = Domains(
    partitions=2,
    targets=["crm"],
    producers=["shop"],
    kinds=["created"],
    reasons=["undecodable"],
    operations=["get_retention"],
    problems=["not-found"],
)
ROLES = ("gateway", "ledger", "coordinator", "clock", "target", "projector", "api", "exporter")


def scrape(metrics: Metrics) -> str:
    port = metrics.serve("127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("role", ROLES)
def test_every_series_of_a_role_is_there_at_zero(role: str) -> None:
    text = scrape(Metrics(role, DOMAINS))

    for d in DEFINITIONS:
        if d.roles and role not in d.roles:
            assert d.name not in text
        else:
            name = d.name + {"counter": "", "gauge": "", "histogram": "_count"}[d.kind]
            assert re.search(rf"^{name}(\{{[^}}]*\}})? 0\.0$", text, re.MULTILINE), d.name


def test_a_value_outside_the_closed_sets_is_never_made_by_a_scrape() -> None:
    metrics = Metrics("gateway", DOMAINS)

    metrics.add("ebbtide_events_total", 3, "shop", "created")

    assert 'ebbtide_events_total{kind="created",producer="shop"} 3.0' in scrape(metrics)


def test_names_carry_their_unit() -> None:
    wrong = [d.name for d in DEFINITIONS if d.kind == "counter" and not d.name.endswith("_total")]

    assert wrong == []
    assert len({d.name for d in DEFINITIONS}) == len(DEFINITIONS)
