"""What is refused of the messages that tell the exporter what to do."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec import full_codec
from streams.exporter.work import BadWork, Options, Work

RECORD: dict[str, Any] = {
    "work": "part",
    "request_id": "r-1",
    "org": "acme",
    "partition": 2,
    "seq": 3,
    "category": "messages",
    "target": "crm",
    "record_ids": ["8", "9", "8"],
}


def decoded(**changes: Any) -> dict[str, Any]:
    codec = full_codec()
    return codec.decode(codec.encode("ExportWork", RECORD | changes))[1]


def test_a_part_is_read_with_each_id_once_and_the_defaults_of_its_options() -> None:
    work = Work.of(decoded())

    assert work.record_ids == ("8", "9")
    assert work.options == Options(formats=("json",), bundle=False)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"org": ""}, "no org"),
        ({"request_id": ""}, "no org or no request"),
        ({"seq": -1}, "negative"),
        ({"record_ids": []}, "does not end a list"),
        ({"category": "../../other"}, "not a category"),
        ({"target": "a/b"}, "not a target"),
        ({"options": "[]"}, "options is no JSON object"),
        ({"options": '{"formats": ["xml"]}'}, "formats"),
        ({"options": '{"formats": []}'}, "formats"),
        ({"options": '{"bundle": 1}'}, "bundle"),
        ({"expect": '{"x": 1}'}, "expect"),
        ({"expect": '{"1": -1}'}, "expect"),
        ({"expect": '{"1": true}'}, "expect"),
    ],
)
def test_work_that_nobody_can_do_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BadWork, match=why):
        Work.of(decoded(**changes))


def test_the_end_of_a_list_may_hold_nothing() -> None:
    work = Work.of(decoded(record_ids=[], last=True, category="", target=""))

    assert work.last


def test_options_of_others_are_let_through() -> None:
    assert Options.of('{"formats": ["csv", "json", "csv"], "include_media": false}').formats == ("csv", "json")


def test_no_record_id_is_shown() -> None:
    work = Work.of(decoded(record_ids=["31415926"]))

    assert "31415926" not in repr(work)
