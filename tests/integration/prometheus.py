"""A real Prometheus with our own configuration and rules, that scrapes the roles of an engine under test.

What differs from ops/prometheus and ops/alerts: where the roles are (a file instead of DNS), and how often it looks.
"""

from __future__ import annotations

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.local.install import PrometheusTools
from ops.local.ports import LOOPBACK, free_port
from ops.local.process import Process
from tests.support.alerts import FILE, ROOT


@dataclass(slots=True)
class Prometheus:
    """One server. `roles` are told by `look_at`, and again when their addresses change."""

    directory: Path
    url: str
    process: Process

    @classmethod
    def start(cls, tools: PrometheusTools, directory: Path) -> Prometheus:
        """Start it, with nothing to look at yet, and wait until it answers."""
        directory.mkdir()
        config = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())
        (job,) = config["scrape_configs"]
        del job["dns_sd_configs"], job["relabel_configs"]
        job["file_sd_configs"] = [{"files": [str(directory / "roles.json")]}]
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "2s"}
        config["rule_files"] = [str(directory / "rules.yml")]
        rules = yaml.safe_load(FILE.read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
        (directory / "rules.yml").write_text(yaml.safe_dump(rules))
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        process = Process.start(
            "prometheus",
            lambda: [
                str(tools.prometheus),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            directory=directory,
        )
        server = cls(directory, f"http://{LOOPBACK}:{port}", process)
        process.wait_ready(server._answers, limit_s=60)
        return server

    def stop(self) -> None:
        self.process.stop()

    def look_at(self, roles: Mapping[str, str]) -> None:
        """Scrape these from now on: role to the address of its metrics."""
        groups = [
            {"targets": [urllib.parse.urlsplit(url).netloc], "labels": {"service": name.replace(":", "-")}}
            for name, url in roles.items()
        ]
        draft = self.directory / "roles.draft"
        draft.write_text(json.dumps(groups))
        draft.replace(self.directory / "roles.json")

    def values(self, expr: str) -> list[float]:
        """Return the values of `expr` now; what is not a number is left out."""
        found = self._get("query", query=expr)["result"]
        return [value for value in (float(sample["value"][1]) for sample in found) if not math.isnan(value)]

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
