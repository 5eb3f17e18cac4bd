"""A mistake in the data map is told with file, line and fix before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WRONG = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
categories:
  messages:
    targets:
      crm: {tabel: m, key: id, org: org_id}
"""


def test_a_wrong_data_map_is_refused_with_file_line_and_fix_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(WRONG)
    command = ["up", "--data-map", str(tmp_path / "map.yaml"), "--data-dir", str(tmp_path / "data"), "--json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}

    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.app", *command],
        capture_output=True,
        text=True,
        env=clean,
        check=False,
        timeout=120,
    )

    assert done.returncode == 2
    assert "map.yaml:7: unknown key 'tabel'" in done.stderr
    assert "did you mean 'table'?" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "data" / "stack").exists()
