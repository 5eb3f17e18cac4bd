"""Exports: listed by every shard, followed part by part, finished once, handed out for a day, and then deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ebbtide.envelope import sign
from schemas.subjects import pack_refs
from schemas.topics import DAY_MS
from streams.coordinator.deadlines import ccpa, gdpr
from streams.reducer import Send
from tests.support.desk import CODEC, HOME, ORG, RULES, SEED, SUBJECTS, TOPICS, Desk, category, read, reasons, told

FILE = {"key": "exports/ab/messages/crm-0000-00000000.jsonl.gz", "version": "v1", "bytes": 9, "sha256": "0" * 64}
FILE |= {"name": "messages/crm-0000-00000000.jsonl.gz", "format": "json", "rows": 2}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.org()
    return made


def work(sends: Sequence[Send], kind: str) -> list[dict[str, Any]]:
    """Return what the exporter is told among `sends`; the place is checked."""
    found = [s for s in sends if s.topic == TOPICS.selections]
    assert all(s.partition == HOME and (s.key or b"").startswith(b"r-") for s in found)
    return [r for s in found if CODEC.name_of(s.value or b"") == "ExportWork" and (r := read(s))["work"] == kind]


def progress(**targets: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Sums by target: records and how many of them are missing."""
    return {t: {"records": n, "rows": n - missing, "missing": missing} for t, (n, missing) in targets.items()}


def manifest(missing: Mapping[str, int] | None = None) -> dict[str, Any]:
    lost = missing or {}
    return {
        "bucket": "archives",
        "prefix": "exports/ab/",
        "manifest": {**FILE, "name": "manifest.json", "format": "manifest"},
        "files": [FILE],
        "files_total": 1,
        "counts": {"parts": 2, "records": 3, "rows": 2, "missing": sum(lost.values()), "bytes": 9, "by": []},
        "reasons": lost,
    }


def to_the_manifest(desk: Desk, body: Mapping[str, Any] | None = None) -> str:
    """Ask for an export and answer for its shard and its parts; return its id."""
    desk.ask("export", body or {})
    desk.answer("selected", HOME, {"parts": 2, "targets": {"crm": 3}})
    desk.answer("export", HOME, {"parts": 2, "targets": progress(crm=(3, 0))})
    return desk.last


def test_every_shard_lists_the_org_with_what_the_exporter_must_know() -> None:
    desk = Desk()
    desk.org(shards=4)

    sends = desk.ask("export", {"format": "both"})

    commands = told(sends, "Select")
    assert len(commands) > 1
    for command in commands.values():
        assert (command["everyone"], command["subjects"], command["categories"]) == (True, b"", [])
        assert command["request_id"] == desk.last
        assert json.loads(command["options"]) == {"formats": ["json", "csv"], "bundle": False}
    assert desk.state()["state"] == "planning"
    assert desk.state()["detail"]["shards"] == len(commands)


def test_people_are_named_by_references_and_get_one_file(desk: Desk) -> None:
    command = told(desk.ask("export", {"format": "csv"}, subjects=["u-2", "u-1", "u-2"]), "Select")[HOME]

    assert command["subjects"] == pack_refs(sorted(set(SUBJECTS.refs(ORG, ["u-1", "u-2"]))))
    assert not command["everyone"]
    assert json.loads(command["options"]) == {"formats": ["csv"], "bundle": True}
    assert desk.state()["detail"]["of"] == "people"


def test_media_are_left_out_with_all_below_them_and_the_job_says_so(desk: Desk) -> None:
    command = told(desk.ask("export", {"include_media": False}), "Select")[HOME]

    assert command["categories"] == ["logs.audit", "messages"]
    assert desk.state()["detail"]["left_out"] == ["media", "media.thumbs"]


def test_media_under_another_name_are_left_out_as_well() -> None:
    desk = Desk(None)
    categories = {"messages": category("messages"), "files": category("files")}
    desk.rules(RULES, categories=categories, aliases={"media": "files"})
    desk.org()

    assert told(desk.ask("export", {"include_media": False}), "Select")[HOME]["categories"] == ["messages"]


def test_media_below_another_category_are_left_out_without_it_or_the_export_is_refused() -> None:
    below = {name: category(name, parent="content") for name in ("messages", "media")}
    desk = Desk(None)
    desk.rules(RULES, categories={"content": replace(category("content"), targets=()), **below}, aliases={})
    desk.org()
    command = told(desk.ask("export", {"include_media": False}), "Select")[HOME]
    desk.rules(RULES, version=2, categories={"content": category("content"), **below}, aliases={})

    refused = desk.ask("export", {"include_media": False})

    assert command["categories"] == ["messages"]
    assert told(refused, "Select") == {}
    assert (desk.state()["reason"], "include_media" in desk.state()["text"]) == ("bad_body", True)


def test_an_org_with_media_alone_is_asked_for_nothing_if_they_are_left_out() -> None:
    desk = Desk()
    desk.rules(RULES, version=2, categories={"media": category("media")}, aliases={})
    desk.org()

    sends = desk.ask("export", {"include_media": False})

    assert told(sends, "Select") == {}
    assert desk.state()["state"] == "completed"


@pytest.mark.parametrize(("regime", "until"), [("gdpr", gdpr), ("ccpa", ccpa)])
def test_its_deadline_is_that_of_a_request_for_access(desk: Desk, regime: str, until: Any) -> None:
    desk.ask("export", {"regime": regime})

    assert desk.state()["deadline"] == until(desk.state()["requested_at"])


def test_it_goes_as_far_as_its_slowest_shard_and_asks_for_the_manifest_once() -> None:
    desk = Desk()
    desk.org(shards=2)
    a, b = sorted(told(desk.ask("export"), "Select"))
    course = [
        ("exporting", a, {"parts": 1, "targets": progress(crm=(2, 0))}, "planning"),
        ("selected", a, {"parts": 3, "targets": {"crm": 5}}, "planning"),
        ("selected", b, {"parts": 1, "targets": {}}, "running"),
        ("export", b, {"parts": 1, "targets": {}}, "running"),
        ("exporting", a, {"parts": 2, "targets": progress(crm=(4, 1))}, "running"),
        ("exporting", a, {"parts": 1, "targets": progress(crm=(2, 0))}, "running"),  # late: changes nothing
        ("export", a, {"parts": 3, "targets": progress(crm=(5, 1))}, "awaiting_acks"),
        ("export", a, {"parts": 3, "targets": progress(crm=(5, 1))}, "awaiting_acks"),
    ]
    sends: list[Send] = []

    for kind, partition, body, state in course:
        sends += desk.answer(kind, partition, body)
        assert desk.state()["state"] == state
        if body["parts"] == 2:
            assert desk.state()["detail"]["parts"] == {"listed": 4, "written": 3}

    (asked,) = work(sends, "manifest")
    assert json.loads(asked["expect"]) == {str(a): 3, str(b): 1}
    assert (asked["request_id"], asked["org"], asked["epoch"]) == (desk.last, ORG, 1)
    (part,) = desk.state()["parts"]
    assert {name: value for name, value in part.items() if value} == {
        "partition": a, "target": "crm", "due": 5, "done": 4, "changed": 4, "withheld": 1
    }  # fmt: skip


def test_a_finished_export_names_its_files_and_when_their_links_end(desk: Desk) -> None:
    to_the_manifest(desk)

    desk.answer("manifest", HOME, manifest())

    state = desk.state()
    assert (state["state"], state["text"]) == ("completed", "")
    assert state["detail"]["files"] == [FILE]
    assert state["detail"]["manifest"]["name"] == "manifest.json"
    assert state["detail"]["links_end_at"] == desk.now + DAY_MS
    assert "refs" not in json.dumps(state)


def test_what_stores_did_not_return_is_an_exception_with_its_reasons(desk: Desk) -> None:
    to_the_manifest(desk)

    desk.answer("manifest", HOME, manifest({"not_found": 4, "no_plan": 1}))

    assert desk.state()["state"] == "completed_with_exceptions"
    assert "5 records were not returned by their stores (1 no_plan, 4 not_found)" in desk.state()["text"]


def test_an_archive_is_deleted_when_its_links_and_the_margin_are_over_and_not_before(desk: Desk) -> None:
    to_the_manifest(desk)
    desk.answer("manifest", HOME, manifest())

    early = desk.pass_days(1)
    then = desk.pass_days(1 / 12)
    desk.answer("expired", HOME, {"versions": 3, "uploads": 0, "left": 0})
    after = desk.pass_days(3)

    assert work(early, "expire") == []
    (asked,) = work(then, "expire")
    assert (asked["request_id"], asked["org"]) == (desk.last, ORG)
    detail = desk.state()["detail"]
    assert detail["deleted"]["versions"] == 3
    assert "files" not in detail
    assert "manifest" not in detail
    assert desk.state()["state"] == "completed"
    assert work(after, "expire") == []


def test_what_a_lock_kept_in_the_bucket_is_deleted_again_every_day_even_if_its_job_is_forgotten(desk: Desk) -> None:
    to_the_manifest(desk)
    desk.answer("manifest", HOME, manifest())
    desk.pass_days(1.1)

    asked = 0
    for _ in range(40):
        desk.answer("expired", HOME, {"versions": 0, "uploads": 0, "left": 2})
        asked += len(work(desk.pass_days(1.1), "expire"))

    assert asked == 40


@pytest.mark.parametrize("stage", ["planning", "running", "awaiting_acks"])
def test_it_can_be_cancelled_until_it_is_done_and_nothing_of_it_stays(desk: Desk, stage: str) -> None:
    desk.ask("export")
    export = desk.last
    if stage != "planning":
        desk.answer("selected", HOME, {"parts": 2, "targets": {"crm": 3}})
    if stage == "awaiting_acks":
        desk.answer("export", HOME, {"parts": 2, "targets": progress(crm=(3, 0))})
    before = desk.state()["state"]

    sends = desk.ask("cancel", {"job": export})
    late = [
        *desk.answer("export", HOME, {"parts": 2, "targets": progress(crm=(3, 0))}, request_id=export),
        *desk.answer("manifest", HOME, manifest(), request_id=export),
    ]

    assert before == stage
    assert desk.state(export)["state"] == "cancelled"
    assert [w["request_id"] for w in work(sends, "expire")] == [export]
    assert work(late, "manifest") == []
    assert "files" not in desk.state(export)["detail"]


def test_what_is_done_cannot_be_cancelled_and_an_erasure_still_cannot(desk: Desk) -> None:
    export = to_the_manifest(desk)
    desk.answer("manifest", HOME, manifest())
    desk.ask("erase", subjects=["u-1"])
    erasure = desk.last

    for job in (export, erasure):
        desk.ask("cancel", {"job": job})
        assert (desk.state()["state"], desk.state()["reason"]) == ("refused", "wrong_state")


def test_it_cannot_be_paused(desk: Desk) -> None:
    desk.ask("export")

    desk.ask("pause", {"job": desk.last})

    assert desk.state()["reason"] == "wrong_state"


@pytest.mark.parametrize(
    ("kind", "error"), [("selected", "there are no rules here yet"), ("manifest", "partition 3 has 1 parts of 2")]
)
def test_what_cannot_be_made_fails_with_its_reason_and_is_deleted(desk: Desk, kind: str, error: str) -> None:
    export = to_the_manifest(desk) if kind == "manifest" else ""
    if not export:
        desk.ask("export")

    sends = desk.answer(kind, HOME, {}, error=error)

    assert desk.state()["state"] == "failed"
    assert error in desk.state()["text"]
    assert [w["request_id"] for w in work(sends, "expire")] == [desk.last]


def test_a_shard_that_is_ahead_is_asked_again_with_the_epoch_it_knows(desk: Desk) -> None:
    desk.ask("export", subjects=["u-1"])
    first = told(desk.log, "Select")[HOME]
    desk.org(shards=2)

    sends = desk.answer("selected", HOME, {}, error="of an epoch behind what is known here", epoch=1)

    again = told(sends, "Select")[HOME]
    assert again == first | {"epoch": 2}
    assert desk.state()["state"] == "planning"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("selected", {"parts": -1, "targets": {}}),
        ("exporting", {"parts": 1, "targets": {"crm": {"records": 1, "rows": 1, "missing": 2}}}),
        ("export", {"parts": "2"}),
        ("manifest", manifest() | {"files": [{}]}),
        ("expired", {"versions": 1}),
    ],
)
def test_an_answer_that_is_none_changes_nothing(desk: Desk, kind: str, body: dict[str, Any]) -> None:
    to_the_manifest(desk)
    before = desk.state()

    sends = desk.answer(kind, HOME, body)

    assert reasons(sends) == ["bad_answer"]
    assert desk.state() == before


def test_answers_for_other_jobs_and_partitions_change_nothing(desk: Desk) -> None:
    desk.ask("erase", subjects=["u-1"])
    erasure = desk.last
    desk.answer("selected", HOME, {"parts": 1, "targets": {}}, request_id=erasure)
    desk.answer("manifest", HOME, manifest(), request_id=erasure)
    desk.ask("export")
    desk.answer("selected", HOME + 1, {"parts": 1, "targets": {}})

    assert desk.state(erasure)["state"] == "planning"
    assert desk.state()["state"] == "planning"
    assert desk.state()["detail"]["answered"] == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [({"format": "xml"}, "format: must be one of json, csv, both"), ({"media": True}, "body: has no member 'media'")],
)
def test_what_is_asked_wrongly_is_refused_by_name(desk: Desk, body: dict[str, Any], said: str) -> None:
    desk.ask("export", body)

    assert desk.state()["reason"] == "bad_body"
    assert said in desk.state()["text"]


def test_only_who_may_ask_for_exports_gets_one(desk: Desk) -> None:
    record = desk.request("export")
    sends = desk.send(sign({**record, "key_id": "portal"}, b"p" * 32))

    assert reasons(sends) == ["not_allowed"]
    assert sign(record, SEED) == record
