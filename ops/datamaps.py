"""Which data map an engine uses, and what its `${NAME}` may stand for."""

from __future__ import annotations

import os
from pathlib import Path

from ops.settings import PREFIX, Settings, to_environ

DEMO_MAP = Path(__file__).parent / "demo" / "datamap.yaml"
DRILL_MAP = Path(__file__).parent / "drill" / "datamap.yaml"


def data_map_path(settings: Settings) -> Path:
    """Return the configured data map, or the demo's."""
    return Path(settings.data_map) if settings.data_map else DEMO_MAP


def variables(settings: Settings) -> dict[str, str]:
    """Return what `${NAME}` in a data map may stand for: EBBTIDE_ variables, and this engine's own addresses."""
    mine = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return mine | {name: value for name, value in to_environ(settings).items() if value}
