"""Recovery, drilled on real components: what is destroyed comes back, what a backup brings back is erased again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ops.drill.record import last_drill


def test_a_lost_store_and_lost_state_come_back_and_nothing_that_was_erased_does(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EBBTIDE_")}
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.app", "drill", "--people", "50", "--each", "4", "--json"],
        env={
            **environment,
            "EBBTIDE_DATA_DIR": str(tmp_path),
            "EBBTIDE_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/none",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )

    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-4000:])
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["ok"]
    assert facts["proven"]
    assert (facts["differences"], facts["jobs_lost"], facts["recovery_point_s"]) == (0, 0, 0)
    # Whoever was erased after the backup: their messages and notes, once more.
    assert facts["rows_restored_and_erased_again"] >= 10 * 4 * 2
    assert 0 < facts["recovery_time_s"] < facts["recovery_time_most_s"]
    well, text = last_drill(tmp_path, now_ms=time.time_ns() // 1_000_000)
    assert well, text
