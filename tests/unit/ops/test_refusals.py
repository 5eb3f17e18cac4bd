"""A mistake in the data map is told with file, line and fix before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ops.datamaps import variables
from ops.engine import LATER
from ops.settings import Settings
from schemas.datamap import load_data_map

EVERY_KIND = """\
version: 1
targets:
  crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}
  profiles: {kind: kafka, bootstrap: "${EBBTIDE_KAFKA_BOOTSTRAP}"}
  files:
    kind: s3
    endpoint: "${EBBTIDE_S3_ENDPOINT}"
    bucket: "${EBBTIDE_S3_BUCKET}"
    access_key: "${EBBTIDE_S3_ACCESS_KEY}"
    secret_key: "${EBBTIDE_S3_SECRET_KEY}"
categories:
  media:
    targets:
      files: {key: "{org}/media/{id}"}
"""

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


def test_a_map_of_stores_that_are_still_to_be_started_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(EVERY_KIND)

    data_map = load_data_map(tmp_path / "map.yaml", LATER | variables(Settings()))

    assert data_map.targets["files"].options["bucket"] == Settings().s3_bucket
