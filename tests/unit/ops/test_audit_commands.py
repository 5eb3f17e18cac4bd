"""The commands of the audit log without an engine: a file is checked by its key, and exit codes tell what holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ops.audit_siem import siem_event
from ops.cli.app import app
from streams.audit.copies import LogCopy, lines_of
from streams.audit.entries import read_leaf
from tests.support.audit import KEY, OTHER_SEED, Written, batch, three_days

LOG = three_days().copy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "audit.jsonl"
    made.write_text("".join(line + "\n" for line in lines_of(LOG)), encoding="utf-8")
    return made


def run(*arguments: str, directory: Path, **environment: str) -> Result:
    variables = {"EBBTIDE_DATA_DIR": str(directory), "EBBTIDE_KAFKA_BOOTSTRAP": "", **environment}
    return CliRunner().invoke(app, ["audit", *arguments], env=variables)


def test_an_exported_file_is_checked_offline_by_its_key_alone(file: Path, tmp_path: Path) -> None:
    done = run("verify", "--file", str(file), "--key", KEY.text(), "--json", directory=tmp_path)

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["holds"], said["entries"], said["org"], said["since"]) == (True, 26, "acme", None)
    assert said["newest"] == LOG.newest
    shown = run("verify", "--file", str(file), "--key", KEY.text(), directory=tmp_path)
    assert "26 entries of 3 days" in shown.stdout
    assert LOG.newest in shown.stdout


def test_what_was_tampered_with_ends_with_3_and_names_the_index(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace('"records":1003', '"records":1'))

    done = run("verify", "--file", str(file), "--key", KEY.text(), "--json", directory=tmp_path)

    assert done.exit_code == 3, done.output
    said = json.loads(done.stdout)
    assert (said["holds"], said["day"], said["index"], said["fault"]) == (False, LOG.days[0].day, 5, "flipped")
    assert "index 5: flipped" in done.stderr


@pytest.mark.parametrize("spoil", [b"", b"\xff\xfe", b"{}\n", b"not a log\n"], ids=["empty", "bytes", "object", "text"])
def test_a_file_that_is_no_log_is_refused(file: Path, tmp_path: Path, spoil: bytes) -> None:
    file.write_bytes(spoil)

    assert run("verify", "--file", str(file), "--key", KEY.text(), directory=tmp_path).exit_code == 3


def test_heads_that_were_kept_are_compared_with_as_notes_and_as_files(file: Path, tmp_path: Path) -> None:
    written = Written().add(0, batch(1))
    note, old = tmp_path / "head.txt", tmp_path / "old.jsonl"
    note.write_text(written.copy.newest)
    old.write_text("".join(line + "\n" for line in lines_of(written.copy)))
    file.write_text("".join(line + "\n" for line in lines_of(written.add(0, batch(2)).copy)))
    newer = tmp_path / "newer.txt"
    newer.write_text(written.copy.newest)
    forked = Written().add(0, batch(7), batch(8)).copy.newest
    (tmp_path / "forked.txt").write_text(forked)

    def verified(path: Path, *heads: Path) -> int:
        kept = [word for head in heads for word in ("--against", str(head))]
        return run("verify", "--file", str(path), "--key", KEY.text(), *kept, directory=tmp_path).exit_code

    assert verified(file, note, old, newer) == 0
    assert verified(old, newer) == 3
    assert verified(file, tmp_path / "forked.txt") == 3
    assert verified(file, tmp_path / "missing.txt") == 2


def test_without_a_key_nobody_s_signature_is_believed(file: Path, tmp_path: Path) -> None:
    done = run("verify", "--file", str(file), directory=tmp_path)

    assert done.exit_code == 2
    assert "audit key" in done.stderr
    assert run("verify", "--file", str(file), "--key", "nonsense", directory=tmp_path).exit_code == 2
    assert run("verify", "--key", KEY.text(), directory=tmp_path).exit_code == 2


def test_an_installation_s_own_key_is_found_and_another_s_log_is_a_fork(file: Path, tmp_path: Path) -> None:
    mine = {"EBBTIDE_AUDIT_SIGNING_KEY": "61" * 32}
    printed = run("key", directory=tmp_path, **mine)

    assert printed.stdout.strip() == KEY.text()
    assert run("verify", "--file", str(file), directory=tmp_path, **mine).exit_code == 0
    other = run("verify", "--file", str(file), directory=tmp_path, EBBTIDE_AUDIT_SIGNING_KEY=OTHER_SEED.hex())
    assert (other.exit_code, "forked" in other.stderr) == (3, True)
    derived = run("key", directory=tmp_path, EBBTIDE_SIGNING_KEY="33" * 32)
    assert derived.exit_code == 0
    assert derived.stdout.strip() not in ("", KEY.text())


def test_a_command_that_needs_the_engine_says_so_and_an_engine_that_is_away_is_not_a_tampered_log(
    tmp_path: Path,
) -> None:
    for command in (["show", "acme"], ["export", "acme"], ["verify", "acme", "--key", KEY.text()]):
        assert run(*command, directory=tmp_path).exit_code == 2
    assert run("unlink", "acme", directory=tmp_path).exit_code == 2


def test_a_whole_log_is_let_go_only_by_who_names_the_org_twice_and_nobody_beside_it(tmp_path: Path) -> None:
    for words in (["--all"], ["--all", "--confirm", "globex"], ["--all", "--confirm", "acme", "--subject", "u-1"]):
        done = run("unlink", "acme", *words, directory=tmp_path)
        assert done.exit_code == 2
        assert "--confirm" in done.stderr or "one of the two" in done.stderr
    for log in ("acme", "AB" * 32, "ab" * 31):
        done = run("verify", "--log", log, "--key", KEY.text(), directory=tmp_path)
        assert (done.exit_code, "64 hex digits" in done.stderr) == (2, True)
    assert run("verify", "acme", "--log", "ab" * 32, directory=tmp_path).exit_code == 2


def test_entries_become_events_of_a_siem_which_name_nobody_unless_revealed() -> None:
    day = LOG.days[0]
    events = [siem_event(read_leaf(text), org="", about={}) for text in day.leaves]
    revealed = siem_event(read_leaf(day.leaves[1]), org="acme", about={"requester": ["ann-lee"], "request": ["r-1"]})

    assert [event["event"]["action"] for event in events] == ["begin", "job", *["batch"] * 5]
    assert events[1]["event"]["id"] == f"{LOG.log}/{day.day}/1"
    assert events[1]["@timestamp"] == "2026-05-27T00:00:00.000Z"
    assert not any(word in json.dumps(events) for word in ("acme", "ann-lee", "r-1"))
    assert (revealed["organization"]["id"], revealed["user"]["id"]) == ("acme", "ann-lee")
    assert revealed["ebbtide"]["about"]["request"] == ["r-1"]


@pytest.mark.parametrize(
    ("kind", "facts", "outcome"),
    [
        ("call", {"status": 403}, "failure"),
        ("call", {"status": 202}, "success"),
        ("refused", {"reason": "bad_signature"}, "failure"),
        ("job", {"state": "refused"}, "failure"),
        ("job", {"state": "completed"}, "success"),
        ("ack", {"outcome": "applied", "failed": 0}, "success"),
        ("ack", {"outcome": "applied", "failed": 2}, "failure"),
        ("archive", {"made": False}, "failure"),
    ],
)
def test_an_event_s_outcome_is_that_of_what_happened(kind: str, facts: dict[str, object], outcome: str) -> None:
    leaf = replace(read_leaf(LOG.days[0].leaves[0]), kind=kind, facts=facts)

    assert siem_event(leaf, org="", about={})["event"]["outcome"] == outcome


def test_some_days_of_a_log_are_a_file_as_well(tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text("".join(line + "\n" for line in lines_of(LogCopy(LOG.log, LOG.days[1:2]))))

    done = run("verify", "--file", str(part), "--key", KEY.text(), directory=tmp_path)

    assert done.exit_code == 0
    assert f"go on from {LOG.days[0].day}" in done.stdout
