"""The README's own data map and code, run as they stand: the first event arrives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from ops.local.service import KafkaServer
from tests.integration.engine import eventually
from tests.integration.roles import Roles

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_readmes_first_event_is_accepted_by_the_readmes_data_map(
    kafka: KafkaServer, database: str, prefix: str, tmp_path: Path
) -> None:
    roles = Roles.make(kafka.bootstrap, database, prefix, tmp_path, block("yaml"))
    roles.start("coordinator", "gateway")
    code = block("python").replace("127.0.0.1:9092", kafka.bootstrap)
    code = code.replace('producer="crm"', f'producer="crm", prefix="{prefix}"')

    try:
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=dict(os.environ))
        address = roles.running["gateway"].metrics["gateway"]

        def accepted() -> bool:
            with urllib.request.urlopen(address, timeout=5) as answer:
                text = answer.read().decode()
            return 'ebbtide_events_total{kind="created",producer="other"} 1.0' in text

        eventually(accepted, what="the event in the metrics")
    finally:
        roles.stop()


def test_the_code_to_publish_the_first_event_has_at_most_ten_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 10
