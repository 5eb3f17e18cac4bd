"""The main job as `make demo` runs it: swept by policy, then asked for things over HTTP, every record compared."""

from __future__ import annotations

import json
import subprocess
import sys


def test_the_demo_finds_every_record_where_policies_and_requests_want_it() -> None:
    command = [sys.executable, "-m", "ops.cli.app", "demo", "--json", "--records", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout)
    steps = {step["name"]: step for step in result["requests"]}
    assert (result["ok"], result["differences"]) == (True, 0)
    assert all(step["ok"] for step in result["requests"])
    changed = steps["policy with a hold"]
    assert changed["held"] > 0  # otherwise nothing was shown
    assert changed["preview"] == changed["erased"] + changed["erased_after_release"]
    assert steps["erasure of people"]["erased"] > 0
    assert steps["deletion, cancelled"]["state"] == "cancelled"
    assert steps["export"]["rows"] > 0
    assert steps["export"]["media"] > 0
    assert steps["deletion, cancelled"]["hidden"] > 0
    assert steps["deletion"]["erased"] > 0
