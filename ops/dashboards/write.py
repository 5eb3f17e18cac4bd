"""The files of the dashboards: text that is the same each time, so that a change of code is a change of its lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ops.dashboards import flow, jobs

DIRECTORY: Final = Path(__file__).parents[1] / "grafana" / "dashboards"
DASHBOARDS: Final = (jobs.DASHBOARD, flow.DASHBOARD)


def files() -> Mapping[str, str]:
    """Return each file's text by its name."""
    return {f"{d.name}.json": json.dumps(d.json(), indent=2) + "\n" for d in DASHBOARDS}


def write(directory: Path = DIRECTORY) -> list[Path]:
    """Write all, and remove what no dashboard makes any more; return what was written."""
    wanted = files()
    for old in directory.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in wanted]
