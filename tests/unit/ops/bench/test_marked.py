"""Places that a run of the bench fills."""

from __future__ import annotations

from dataclasses import asdict

from ops.bench.bars import at_least
from ops.bench.marked import fill

TEXT = "before\n<!-- bench: bars -->\nold\n<!-- end -->\nbetween\n<!-- bench: live -->\nkept\n<!-- end -->\nafter\n"


def test_a_place_is_filled_and_everything_else_stays() -> None:
    report = {"bars": [asdict(at_least("sweep", 5.5, 5.0))], "machine": {"cores": 2}, "parts": {}}

    filled = fill(TEXT, report)

    assert "| sweep | 5.50 | >= 5.00 | held |" in filled
    assert "The run: cores 2." in filled
    assert "old" not in filled
    assert filled.startswith("before\n<!-- bench: bars -->\n")
    assert filled.endswith("between\n<!-- bench: live -->\nkept\n<!-- end -->\nafter\n")
    assert fill(filled, report) == filled


def test_a_run_without_bars_leaves_the_places_alone() -> None:
    assert fill(TEXT, {"machine": {}, "parts": {}}) == TEXT
