from __future__ import annotations

import json

import pytest

from ops.bench.capacity import Needs, Unit
from ops.bench.pages import main, page, plots

_YEAR_S = 365 * 86_400


def _report(**parts) -> dict:
    median = {
        "ingest_cpu": 4.0,
        "ingest_broker_cpu": 1.0,
        "ingest_network": 200.0,
        "disk": 25.0,
        "sweep_cpu": 6.0,
        "sweep_broker_cpu": 2.0,
    }
    live = {"medians": {"ebbtide": median}, "peaks": {"gateway": 100 << 20, "ledger": 300 << 20}}
    return {"machine": {"cores": 2}, "parts": {"live": live, **parts}}


def test_what_a_billion_records_need_is_worked_out_from_what_one_costs():
    unit = Unit.of(_report())

    needs = Needs.of(1_000_000_000, 3 * 365, unit)

    busiest = 5 * 1e9 / (3 * _YEAR_S)
    assert unit.events_a_core == pytest.approx(250_000)
    assert needs.partitions == 12
    assert needs.workers == 2
    assert needs.role_cores == pytest.approx(busiest * 10e-6 / 0.5)
    assert needs.broker_cores == pytest.approx(busiest * 3e-6 * 3 / 0.5)
    assert needs.state_bytes == 25e9
    assert needs.worker_bytes == 12.5e9
    assert needs.changelog_bytes == pytest.approx(25e9 * 2 * 3)


def test_a_hundred_times_more_needs_a_hundred_times_as_much():
    unit = Unit.of(_report())
    small, large = Needs.of(10_000_000_000, 90, unit), Needs.of(1_000_000_000_000, 90, unit)

    assert (small.partitions, large.partitions) == (100, 10_000)
    assert large.role_cores == pytest.approx(100 * small.role_cores)
    assert (small.workers, large.workers) == (5, 417)


def test_the_page_names_the_machine_its_plots_and_both_sizes(tmp_path):
    step = {"kept": 1_000_000, "due": 1_000, "orgs": 5}
    point = {"step": step, "sweep": 0.5, "bytes": 25_000_000, "rss": 0}
    more = {**point, "step": {**step, "kept": 10_000_000}}
    report = _report(growth={"curves": {"kept": [point, more]}, "table": "| a table |"})
    (tmp_path / "bench.json").write_text(json.dumps(report))

    main(str(tmp_path / "bench.json"), str(tmp_path))

    text = (tmp_path / "capacity.md").read_text()
    assert "cores 2" in text
    assert "| events/s a core of gateway and ledger | 250,000 |" in text
    assert "| records kept | 1,000,000,000 | 1,000,000,000 | 100,000,000,000 | 100,000,000,000 |" in text
    assert "| each kept for | 1,095 days | 90 days | 1,095 days | 90 days |" in text
    assert "| a table |" in text
    for name in ("kept.svg", "size.svg"):
        assert f"(growth/{name})" in text
        assert (tmp_path / "growth" / name).read_text().startswith("<svg")


@pytest.mark.parametrize(("load", "said"), [(0.4, False), (6.0, True)])
def test_figures_of_a_busy_machine_are_not_called_final(load, said):
    report = {**_report(), "machine": {"load before": load}}

    assert ("not final" in page(report, {})) is said


def test_without_growth_there_are_needs_and_no_plots_and_without_live_nothing():
    report = _report()

    assert plots(report) == {}
    assert "## What a cluster needs" in page(report, {})
    with pytest.raises(KeyError):
        page({"machine": {}, "parts": {}}, {})
