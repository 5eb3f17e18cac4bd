"""The alert rules, as Prometheus reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "ops" / "alerts" / "ebbtide.yml"
TESTS = sorted((FILE.parent / "tests").glob("*.yml"))


def rules() -> list[dict[str, Any]]:
    """Return every rule, alerts and recorded ones."""
    return [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}
