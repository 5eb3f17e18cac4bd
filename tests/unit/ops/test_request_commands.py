"""What the commands around requests promise: subjects are read and never shown, jobs are followed to an exit code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from ops.cli.following import by_target, follow
from ops.cli.output import Exit
from ops.cli.policy import BadAssignment, day_of
from ops.cli.subjects import BadSubjects, BadValues, read_subjects, read_values
from ops.installation import open_installation
from ops.requests import NotDone, RequestDoor, Status
from ops.settings import BadSetting, Settings
from schemas.jobs import PART_COUNTS


def status(state: str, **more: Any) -> Status:
    return {
        "request_id": "r-1",
        "org": "acme",
        "kind": "erase",
        "state": state,
        "reason": "",
        "text": "",
        "parts": [],
        "detail": "{}",
    } | more


def test_subjects_come_from_arguments_a_file_and_standard_input_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ids").write_text("u-1\n\nü-2\r\nu-1\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"u-9\nu-1\n")))

    assert read_subjects(["u-0"], str(tmp_path / "ids")) == ["u-0", "u-1", "ü-2"]
    assert read_subjects(None, "-") == ["u-9", "u-1"]
    assert read_subjects(None, "") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"secret\xff", "line 1: is no UTF-8"),
        (b"secret\n" * 10_000_000, "has more than"),
        (b"".join(b"secret-%d\n" % n for n in range(1001)), "there are 1001 subjects"),
    ],
    ids=["no text", "too large", "too many"],
)
def test_a_list_that_cannot_be_taken_is_refused_without_naming_anybody(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "ids").write_bytes(content)

    with pytest.raises(BadSubjects, match=said) as refused:
        read_subjects(None, str(tmp_path / "ids"))

    assert "secret" not in str(refused.value)
    with pytest.raises(BadSubjects, match="cannot be read"):
        read_subjects(None, str(tmp_path / "none"))


def test_values_come_from_a_file_and_what_is_none_is_refused_without_repeating_it(tmp_path: Path) -> None:
    (tmp_path / "good").write_text('{"messages": {"name": "Ada", "note": null}}', encoding="utf-8")

    assert read_values(str(tmp_path / "good")) == {"messages": {"name": "Ada", "note": None}}
    for bad in ('{"messages": "secret"}', "secret", '["secret"]'):
        (tmp_path / "bad").write_text(bad, encoding="utf-8")
        with pytest.raises(BadValues) as refused:
            read_values(str(tmp_path / "bad"))
        assert "secret" not in str(refused.value)


def test_parts_are_added_up_by_target() -> None:
    part = dict.fromkeys(PART_COUNTS, 0) | {"due": 3, "done": 1, "changed": 1}
    parts = [{"partition": p, "target": t, **part} for p in (0, 1) for t in ("crm", "vault")]

    assert {t: (c["due"], c["done"]) for t, c in by_target(status("running", parts=parts)).items()} == {
        "crm": (6, 2),
        "vault": (6, 2),
    }


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("last", "code"),
    [("completed", None), ("completed_with_exceptions", Exit.DIFFERS), ("cancelled", Exit.DIFFERS)],
)
def test_a_job_is_followed_to_its_exit_code(
    last: str, code: int | None, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    part = dict.fromkeys(PART_COUNTS, 0) | {"partition": 0, "target": "crm", "due": 3, "done": 1, "withheld": 1}

    def run(seen: Callable[[Status], None]) -> Status:
        seen(status("planning", detail='{"shards": 2, "answered": 1}'))
        seen(status("running", parts=[part]))
        seen(status(last, text="1 kept"))
        return status(last, text="1 kept")

    if code is None:
        assert follow(run, as_json=as_json)["state"] == last
    else:
        with pytest.raises(typer.Exit) as left:
            follow(run, as_json=as_json)
        assert left.value.exit_code == code

    lines = capsys.readouterr().out.splitlines()
    if as_json:
        assert [json.loads(line)["state"] for line in lines] == ["planning", "running", last]
        assert json.loads(lines[0])["detail"] == {"shards": 2, "answered": 1}
    else:
        assert lines == []


def test_a_job_that_is_not_done_in_time_is_said_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def run(seen: Callable[[Status], None]) -> Status:
        seen(status("running"))
        raise NotDone(status("running"), 5)

    with pytest.raises(typer.Exit) as left:
        follow(run, as_json=True)

    assert left.value.exit_code == Exit.TIMEOUT
    assert "ebbtide jobs watch acme r-1" in " ".join(capsys.readouterr().err.split())


def test_a_date_is_a_day_since_the_epoch() -> None:
    assert (day_of("1970-01-01"), day_of("2026-01-31")) == (0, 20_484)
    with pytest.raises(BadAssignment, match="write YYYY-MM-DD"):
        day_of("31.1.2026")


def test_the_command_line_signs_with_the_key_of_the_installation_in_its_data_directory(tmp_path: Path) -> None:
    made = open_installation(tmp_path, partitions=2, day_seconds=0)

    assert RequestDoor.of(Settings(data_dir=tmp_path)).signing_key.hex() == made.signing_key
    assert RequestDoor.of(Settings(data_dir=tmp_path, signing_key="ab" * 32)).signing_key == b"\xab" * 32
    assert made.signing_key not in repr(RequestDoor.of(Settings(data_dir=tmp_path)))
    with pytest.raises(BadSetting, match="EBBTIDE_SIGNING_KEY"):
        RequestDoor.of(Settings(data_dir=tmp_path / "elsewhere"))
    assert RequestDoor.of(Settings(data_dir=tmp_path / "elsewhere"), to_read=True).signing_key == b""
