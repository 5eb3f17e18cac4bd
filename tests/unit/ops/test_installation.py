"""What `up` remembers of a data directory: made once, kept private, and never contradicted."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.api.tokens import FixedKeys, Tokens
from ops.cli.app import app
from ops.installation import FILE, WrongInstallation, open_installation, own_signing_key
from ops.timesource import DAY_MS, TimeSource


def test_a_directory_keeps_its_keys_and_its_partitions(tmp_path: Path) -> None:
    made = open_installation(tmp_path, partitions=3, day_seconds=0)

    again = open_installation(tmp_path, partitions=None, day_seconds=0)

    assert again == made
    assert len(bytes.fromhex(made.master_key)) == 32
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert made.master_key not in repr(made)
    assert made.signing_key not in repr(made)
    assert own_signing_key(tmp_path) == made.signing_key
    assert own_signing_key(tmp_path / "elsewhere") == ""


def test_a_directory_from_before_requests_were_signed_says_what_to_add(tmp_path: Path) -> None:
    made = open_installation(tmp_path, partitions=3, day_seconds=0)
    old = {k: v for k, v in asdict(made).items() if k != "signing_key"}
    (tmp_path / FILE).write_text(json.dumps(old))

    with pytest.raises(WrongInstallation, match='add "signing_key"'):
        open_installation(tmp_path, partitions=3, day_seconds=0)


def test_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    open_installation(tmp_path, partitions=3, day_seconds=0)

    with pytest.raises(WrongInstallation, match="made with 3 partitions, not 4"):
        open_installation(tmp_path, partitions=4, day_seconds=0)


def test_another_clock_is_refused(tmp_path: Path) -> None:
    open_installation(tmp_path, partitions=3, day_seconds=2)

    with pytest.raises(WrongInstallation, match="cannot run backwards"):
        open_installation(tmp_path, partitions=3, day_seconds=0)


def test_a_fast_clock_starts_at_its_anchor_and_runs_a_day_in_so_many_seconds() -> None:
    clock = TimeSource(day_seconds=2, anchor_ms=1_000_000)

    assert clock.at(1_000_000) == 1_000_000
    assert clock.at(1_002_000) == 1_000_000 + DAY_MS
    assert TimeSource().at(5) == 5


def test_two_first_starts_at_once_agree_on_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, write = threading.Barrier(2), os.fsync

    def together(descriptor: int) -> None:
        write(descriptor)
        both.wait(30)  # each has drawn its keys before either has put them down

    monkeypatch.setattr(os, "fsync", together)
    with ThreadPoolExecutor(2) as pool:
        starts = [pool.submit(open_installation, tmp_path, partitions=2, day_seconds=0.0) for _ in range(2)]
        first, second = (start.result() for start in starts)

    assert first == second == open_installation(tmp_path, partitions=2, day_seconds=0.0)
    assert [p.name for p in tmp_path.iterdir()] == ["installation.json"]


def test_a_directory_s_tokens_are_taken_by_the_api_of_the_same_directory(tmp_path: Path) -> None:
    for org in ("acme", "later"):
        printed = CliRunner().invoke(app, ["token", org, "--role", "reader", "--data-dir", str(tmp_path)])
        assert printed.exit_code == 2, "there is no installation yet"
    told = CliRunner().invoke(app, ["issuer", "--json", "--data-dir", str(tmp_path)])
    issuer = json.loads(told.stdout)

    printed = CliRunner().invoke(app, ["token", "later", "--role", "reader", "--data-dir", str(tmp_path)])

    tokens = Tokens(FixedKeys(json.dumps(issuer["jwks"])), issuer["issuer"], issuer["audience"])
    principal = tokens.check(f"Bearer {printed.stdout.strip()}", time.time())
    assert principal.orgs == {"later": "reader"}
    assert principal.is_fresh(time.time())
    assert json.loads((tmp_path / FILE).read_text())["token_key"] not in told.stdout
