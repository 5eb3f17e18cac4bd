"""Places in documents that a run of the bench fills: between two comments, everything else stays.

    <!-- bench: bars -->
    what the last run said
    <!-- end -->

Pure. Used by `ops.bench.pages`; `tests/unit/ops/bench/test_marked.py` says what it promises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ops.bench.bars import Bar
from ops.bench.section import table_of

_PLACE = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, report: Mapping[str, Any]) -> str:
    """Return `text` with its places filled from what `bench.json` holds. A place whose part did not run stays."""
    made = {"bars": bars(report), "live": report["parts"].get("live", {}).get("table", "")}

    def filled(place: re.Match[str]) -> str:
        content = made.get(place[2], "")
        return f"{place[1]}{content}\n{place[3]}" if content else place[0]

    return _PLACE.sub(filled, text)


def bars(report: Mapping[str, Any]) -> str:
    """Return the table of all bars, with the machine below it; empty where no part judged anything."""
    judged = [Bar(**bar) for bar in report.get("bars", ())]
    if not judged:
        return ""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    rows = [[bar.name, bar.reached, bar.to_reach, bar.verdict] for bar in judged]
    return f"{table_of(['bar', 'ratio', 'to reach', ''], rows)}\n\nThe run: {machine}."
