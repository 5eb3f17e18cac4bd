"""A drill that is late, failed or never was made is said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.drill.record import last_drill, write_drill

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("ok", "days", "well", "words"),
    [(True, 92, True, "92 days ago"), (True, 93, False, "due again"), (False, 1, False, "failed")],
)
def test_a_drill_holds_for_a_quarter(tmp_path: Path, ok: bool, days: int, well: bool, words: str) -> None:
    write_drill(tmp_path, {"ok": False, "recovery_time_s": 9, "recovery_point_s": 9}, at_ms=0)
    write_drill(tmp_path, {"ok": ok, "recovery_time_s": 20.5, "recovery_point_s": 0}, at_ms=5)

    found, text = last_drill(tmp_path, now_ms=5 + days * DAY_MS)

    assert (found, words in text, "20.5 s" in text) == (well, True, True), text


def test_without_one_it_says_how_to_make_one(tmp_path: Path) -> None:
    found, text = last_drill(tmp_path, now_ms=0)

    assert (found, "ebbtide drill" in text) == (False, True)
