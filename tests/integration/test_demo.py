"""The main job as `make demo` runs it: swept by policy, then asked for things over HTTP, every record compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def verified(file: Path, *arguments: str) -> int:
    """Return the exit code of `ebbtide verify`, run where there is no engine."""
    command = [sys.executable, "-m", "ops.cli.app", "verify", str(file), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EBBTIDE_")}
    return subprocess.run(
        command, env=environment, cwd=Path.cwd(), capture_output=True, check=False, timeout=300
    ).returncode


def test_the_demo_finds_every_record_where_policies_and_requests_want_it(tmp_path: Path) -> None:
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
    assert steps["certificates"]["verified"] == 2
    erasure, deletion = (tmp_path / name for name in ("erasure.json", "deletion.json"))
    for file, text in zip((erasure, deletion), result["certificates"], strict=True):
        file.write_text(text)
        assert verified(file, "--key", result["public_key"], "--pdf", str(file.with_suffix(".pdf"))) == 0
        assert file.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    request = json.loads(deletion.read_text())["open"][0][3]
    assert verified(deletion, "--key", result["public_key"], "--request", request) == 0
    assert verified(erasure, "--key", result["public_key"], "--request", request) == 3
    erasure.write_text(erasure.read_text().replace("=", "-", 1))
    assert verified(erasure, "--key", result["public_key"]) == 3
