"""The alert rules, Prometheus's configuration and the dashboards' expressions, tried with the real promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from ops.dashboards.write import DASHBOARDS
from ops.local.install import PrometheusTools
from tests.support.alerts import FILE, ROOT, TESTS


def promtool(tools: PrometheusTools, *arguments: str, directory: Path = ROOT) -> str:
    done = subprocess.run(
        [tools.promtool, *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", TESTS, ids=lambda path: path.stem)
def test_each_alert_fires_when_it_should_and_stays_quiet_when_it_should(
    prometheus_tools: PrometheusTools, file: Path
) -> None:
    promtool(prometheus_tools, "test", "rules", file.name, directory=file.parent)


def test_an_alert_test_that_expects_what_does_not_come_is_told(
    prometheus_tools: PrometheusTools, tmp_path: Path
) -> None:
    text = next(path for path in TESTS if path.stem == "deadline-near").read_text()
    (tmp_path / "wrong.yml").write_text(text.replace("../ebbtide.yml", str(FILE)).replace("345600", "3456000"))

    with pytest.raises(AssertionError, match="EbbtideDeadlineNear"):
        promtool(prometheus_tools, "test", "rules", "wrong.yml", directory=tmp_path)


def test_prometheus_takes_the_rules_and_the_configuration_that_names_them(prometheus_tools: PrometheusTools) -> None:
    said = promtool(prometheus_tools, "check", "config", "ops/prometheus/prometheus.yml")

    assert "1 rule files found" in said
    assert "12 rules found" in said


def test_the_composed_prometheus_has_the_rules_where_its_configuration_looks() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = dict(volume.split(":")[:2][::-1] for volume in compose["services"]["prometheus"]["volumes"])
    (pattern,) = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())["rule_files"]

    inside = (Path("/etc/prometheus") / pattern).parts  # as Prometheus resolves it, from its configuration's place
    directory = Path(*inside[: inside.index("..") - 1], *inside[inside.index("..") + 1 : -1])

    assert (ROOT / mounts[str(directory)]).resolve() == FILE.parent


def test_every_expression_on_a_dashboard_is_one_that_prometheus_can_read(
    prometheus_tools: PrometheusTools, tmp_path: Path
) -> None:
    expressions = [query.expr for dashboard in DASHBOARDS for query in dashboard.queries]
    recorded = [{"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(expressions)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))

    said = promtool(prometheus_tools, "check", "rules", "panels.yml", directory=tmp_path)

    assert f"{len(expressions)} rules found" in said
