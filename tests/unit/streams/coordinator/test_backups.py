"""Backups: what they hold is told with its end, that nothing is known of them is told as well, and neither is zero."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from schemas.rules import Backups
from schemas.topics import DAY_MS
from streams.coordinator.backups import exceptions
from tests.support.desk import HOME, RULES, Desk, erasure

NIGHTLY = {"crm": Backups(keep_days=30, note="nightly dumps"), "media": Backups(keep_days=0)}


def at(level: str = "deleted", **backups: Backups) -> Desk:
    desk = Desk(replace(RULES, complete_at=level, backups=backups))
    desk.org()
    desk.ask("erase", subjects=["u-1"])
    return desk


def told(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = desk.state()["detail"].get("backups", {})
    return found


def certificate(desk: Desk) -> dict[str, Any]:
    (said,) = [json.loads(record["facts"]) for record in desk.audited if record["kind"] == "certificate"]
    return dict(said)


def test_a_job_and_its_certificate_say_until_when_backups_hold_what_was_erased() -> None:
    desk = at(**NIGHTLY)

    desk.answer("erase", HOME, erasure(found=3, crm=(2, 2, 0), media=(1, 1, 0), feed=(1, 1, 0)))

    until = desk.now + 30 * DAY_MS
    assert desk.state()["state"] == "completed"
    assert told(desk)["crm"] == {"keep_days": 30, "note": "nightly dumps", "records": 2, "until": until}
    assert told(desk)["feed"] is None  # nothing is known, and that is told
    assert certificate(desk)["backups"] == told(desk)
    assert [e for e in certificate(desk)["exceptions"] if e["what"] == "backups"] == [
        {"what": "backups", "target": "crm", "records": 2, "until": until}
    ]


def test_the_end_counts_from_the_last_row_that_went_and_from_one_that_went_again() -> None:
    desk, ends = at("verified", **NIGHTLY), []

    for version, (done, more) in enumerate(((1, {}), (2, {}), (2, {"gone": 2}), (1, {"residual": 1}), (2, {})), 1):
        body = erasure(found=2, crm=(2, done, 0))
        body["targets"]["crm"] |= more
        desk.now += DAY_MS
        desk.answer("erase", HOME, body, version=version)
        ends.append(told(desk)["crm"]["until"])

    assert ends[1] > ends[0]
    assert ends[2] == ends[1]  # that it is gone from the store changes nothing about a backup
    assert ends[1] < ends[3] < ends[4]


def test_what_no_target_had_is_in_no_backup_and_one_that_has_run_out_is_no_exception() -> None:
    desk = at(**NIGHTLY)

    desk.answer("erase", HOME, erasure(found=0, crm=(0, 0, 0)))

    assert told(desk) == {}
    assert list(exceptions({"crm": {"records": 2, "until": 10}}, 10)) == []
    assert len(list(exceptions({"crm": {"records": 2, "until": 11}, "feed": None}, 10))) == 1
