"""When recovery was drilled last, and how it went: `<data_dir>/drill.json`, which `ebbtide doctor` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FILE: Final = "drill.json"
MOST_DAYS: Final = 92
"""A drill is due each quarter."""
_DAY_MS: Final = 86_400_000


def write_drill(data_dir: Path, facts: Mapping[str, Any], *, at_ms: int) -> None:
    """Keep a drill's outcome, in the place of the last one."""
    data_dir.mkdir(parents=True, exist_ok=True)
    draft = data_dir / f"{FILE}.tmp"
    draft.write_text(json.dumps({**facts, "at": at_ms}), encoding="utf-8")
    draft.replace(data_dir / FILE)


def last_drill(data_dir: Path, *, now_ms: int) -> tuple[bool, str]:
    """Return whether recovery was drilled in time and well, and what there is to say about it."""
    path = data_dir / FILE
    if not path.exists():
        return False, "recovery was never drilled from here: run `ebbtide drill`, each quarter"
    facts = json.loads(path.read_text(encoding="utf-8"))
    days = (now_ms - facts["at"]) // _DAY_MS
    told = f"{days} days ago, recovery took {facts['recovery_time_s']:g} s and lost {facts['recovery_point_s']:g} s"
    if not facts["ok"]:
        return False, f"{told}, and failed: run `ebbtide drill --json` and mend what differs"
    if days > MOST_DAYS:
        return False, f"{told}: it is due again, run `ebbtide drill`"
    return True, told
