"""Entries get their day and index, days are linked, and what is kept of a log is believed only if it was signed."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256

import pytest

from streams.audit.entries import DAY_MS, BadLeaf, Opening, make_leaf, read_leaf, seal
from streams.audit.intents import FIELDS, intent
from streams.audit.log import NAME, BadState, OrgLog
from streams.audit.note import NoteKey, open_note
from streams.audit.tree import Frontier
from tests.support.audit import KEY, START, batch, job, three_days


def salts() -> bytes:
    return b"x" * 32


def test_a_day_begins_with_the_head_that_the_day_before_ended_with() -> None:
    written = three_days()

    first, second, third = written.copy.days
    assert [day.day for day in (first, second, third)] == ["2026-05-27", "2026-05-28", "2026-05-30"]
    assert read_leaf(first.leaves[0]).facts == {"previous": None}
    for before, after in ((first, second), (second, third)):
        head = open_note(before.notes[-1], KEY)
        leaf = read_leaf(after.leaves[0])
        named = {"day": before.day, "size": head.size, "root": base64.b64encode(head.root).decode()}
        assert (leaf.kind, leaf.facts) == ("begin", {"previous": named})


def test_indexes_of_a_day_have_no_gap_and_heads_follow_them() -> None:
    for day in three_days().copy.days:
        assert [read_leaf(text).index for text in day.leaves] == list(range(len(day.leaves)))
        assert open_note(day.notes[-1], KEY).size == len(day.leaves)


def test_a_day_never_goes_back() -> None:
    log = OrgLog("acme", bytes(32))

    log.add(batch(1), START * DAY_MS, salts)
    (late,) = log.add(batch(2), (START - 5) * DAY_MS, salts)

    assert (late.leaf.day, late.leaf.index, late.leaf.at) == ("2026-05-27", 2, (START - 5) * DAY_MS)


def test_an_intent_that_is_none_adds_nothing() -> None:
    log = OrgLog("acme", bytes(32))
    for wrong in (
        {**batch(1), "kind": "other"},
        {**batch(1), "facts": "[]"},
        {**batch(1), "facts": '{"share":0.5}'},
        {**batch(1), "facts": '{"share":NaN}'},
        {**batch(1), "facts": json.dumps({"text": "x" * (1 << 20)})},
        {**batch(1), "sealed": [{"field": "name", "value": "ada"}]},
    ):
        with pytest.raises(BadLeaf):
            log.add(wrong, START * DAY_MS, salts)

    assert (log.day, log.tree.size) == (-1, 0)


def test_a_log_goes_on_from_what_was_kept_of_it() -> None:
    written = three_days()

    again = OrgLog.of(written.log.record(), KEY)

    assert again.head() == written.log.head()
    assert [a.text for a in again.add(batch(9), (START + 3) * DAY_MS, salts)] == [
        a.text for a in written.log.add(batch(9), (START + 3) * DAY_MS, salts)
    ]
    assert again.head() == written.log.head()


def test_what_was_kept_is_not_believed_if_it_is_not_what_was_signed() -> None:
    record = three_days().log.record()
    other = three_days(salt=b"t" * 32).log.record()

    for wrong in (
        {**record, "size": record["size"] + 1},
        {**record, "frontier": record["frontier"][:-1] + b"\0"},
        {**record, "frontier": b""},
        {**record, "day": record["day"] + 1},
        {**record, "salt": other["salt"]},
        {**record, "note": other["note"]},
        {**record, "note": ""},
        {**record, "org": "globex"},
    ):
        with pytest.raises(BadState):
            OrgLog.of(wrong, KEY)
    with pytest.raises(BadState):
        OrgLog.of(record, NoteKey(NAME, b"k" * 32))
    assert Frontier(0).size == 0


def test_a_leaf_holds_no_org_person_or_request_in_clear_and_its_openings_give_them_back() -> None:
    written = three_days()

    text = "".join(leaf for day in written.copy.days for leaf in day.leaves)
    assert not any(word in text for word in ("acme", "ann-lee", "ada", "r-1", f"{1001:016x}"))
    leaf, opened = read_leaf(written.copy.days[0].leaves[1]), written.copy.days[0].openings[1]
    assert [(o.name, o.place, o.value) for o in opened] == [
        ("request", 0, "r-1"),
        ("requester", 0, "ann-lee"),
        ("subject", 0, f"{1001:016x}"),
        ("subject", 1, f"{2001:016x}"),
    ]
    assert all(leaf.sealed[o.name][o.place] == o.hash() for o in opened)
    assert leaf.log == seal("org", b"s" * 32, "acme")


def test_the_hash_of_a_value_is_the_one_that_the_docs_say() -> None:
    salt = bytes(range(32))

    assert (
        seal("subject", salt, "é")
        == sha256(b"ebbtide audit value v1\0" + salt + b"subject\0" + "é".encode()).hexdigest()
    )
    with pytest.raises(BadLeaf):
        seal("subject", salt[:31], "é")


def test_the_same_value_in_two_entries_is_hashed_differently_and_a_salt_does_not_show() -> None:
    written = three_days()

    one, two = (written.copy.days[0].openings[n][0] for n in (2, 5))
    assert (one.value, one.name) == (two.value, two.name) == ("case of ada@example.org", "request")
    assert one.hash() != two.hash()
    assert "ada" not in repr(replace(one, place=0))
    assert one.salt.hex() not in repr(one)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"v":1}', "x" * 10, "[" * 5000],
    ids=["empty", "list", "object", "null", "version", "word", "deep"],
)
def test_what_is_no_leaf_is_refused(text: str) -> None:
    with pytest.raises(BadLeaf):
        read_leaf(text)


def test_a_leaf_is_written_in_one_way() -> None:
    leaf, _ = make_leaf(job(1), log="l", day=START, index=3, at=5, draw=salts)
    text = leaf.text()

    assert read_leaf(text) == leaf
    for other in (text.replace(":", ": ", 1), text.replace('"index":3', '"index":3.0'), text.replace("\x7b", "{ ", 1),
                  text[:-1] + ',"x":1}', text.replace('"v":1', '"v":2')):  # fmt: skip
        with pytest.raises(BadLeaf):
            read_leaf(other)


def test_what_may_be_sealed_is_a_closed_list() -> None:
    assert sorted(FIELDS) == list(FIELDS)
    with pytest.raises(AssertionError):
        intent("job", "acme", {}, name=["ada"])
    assert intent("job", "acme", {"a": 1}, request=["", "r"])["sealed"] == [{"field": "request", "value": "r"}]
    assert Opening("request", 0, bytes(32), "r").hash() == seal("request", bytes(32), "r")
