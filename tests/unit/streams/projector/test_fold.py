"""What the read model promises of single records, and of their order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.projector.fold import Folder, Unreadable
from streams.projector.rows import Change
from tests.support.read_model import Log, MemoryModel
from tests.support.read_model_records import (
    CODEC,
    TOPICS,
    Written,
    hold,
    job,
    old_policy,
    one_record,
    org,
    policy,
    progress,
    tombstone,
)

FOLDER = Folder(TOPICS, CODEC)


def folded(*written: Written) -> MemoryModel:
    model = MemoryModel()
    for topic, key, value in written:
        model.apply(FOLDER.changes(topic, key, value))
    return model


def rows(model: MemoryModel, table: str) -> list[dict[str, Any]]:
    return list(model.tables[table].values())


def partition(written: Written) -> str:
    """A key's own partition, as every writer chooses it: two keys may share one, an org's versions always do."""
    topic, key, _ = written
    return f"{topic}/{sum(key.partition(bytes(1))[0]) % 2}"


@settings(deadline=None)
@given(st.lists(one_record(), max_size=30), st.data())
def test_any_interleaving_of_partitions_and_any_replay_end_in_the_same_rows(
    written: list[Written], data: st.DataObject
) -> None:
    partitions: dict[str, list[Sequence[Change]]] = {}
    for one in written:
        partitions.setdefault(partition(one), []).append(FOLDER.changes(*one))
    expected = MemoryModel()
    for records in partitions.values():
        for changes in records:
            expected.apply(changes)

    model, log = MemoryModel(), Log(partitions)
    while unread := sorted(p for p, records in partitions.items() if log.positions.get(p, 0) < len(records)):
        chosen = data.draw(st.sampled_from(unread))
        again = data.draw(st.integers(0, log.positions.get(chosen, 0)))
        for offset in range(again, log.positions.get(chosen, 0) + 1):  # a restart reads some of it twice
            log.offer(model, chosen, offset)

    assert model.tables == expected.tables


@settings(deadline=None)
@given(st.lists(one_record(), max_size=20))
def test_versions_never_go_back_while_the_row_is_there(written: list[Written]) -> None:
    model = MemoryModel()
    for one in written:
        before = {name: dict(model.tables[name]) for name in ("org_retention", "privacy_jobs")}

        model.apply(FOLDER.changes(*one))

        for name, old in before.items():
            for key, row in model.tables[name].items():
                assert key not in old or old[key]["version"] <= row["version"]


def test_an_older_state_of_a_job_changes_neither_its_row_nor_its_parts() -> None:
    newest = job(version=5, parts=[(0, "crm", 9)])

    model = folded(newest, job(version=3, parts=[(1, "crm", 1)]))

    assert model.tables == folded(newest).tables
    assert model.stale == 1


def test_a_newer_state_replaces_all_parts() -> None:
    model = folded(job(version=1, parts=[(0, "crm", 1), (1, "crm", 1)]), job(version=2, parts=[(1, "crm", 7)]))

    assert [(part["partition"], part["done"]) for part in rows(model, "job_parts")] == [(1, 7)]


def test_two_orgs_may_choose_the_same_id() -> None:
    model = folded(job("acme", "r1"), job("globex", "r1"), tombstone(job("acme", "r1")))

    assert list(model.tables["privacy_jobs"]) == [("globex", "r1")]


def test_a_tombstone_takes_the_row_and_leaves_the_history() -> None:
    everything = [org(), policy(version=1), policy(version=2), job(parts=[(0, "crm", 1)]), hold(), progress()]

    model = folded(*everything, *(tombstone(one) for one in everything))

    assert {name: len(table) for name, table in model.tables.items() if table} == {"policy_history": 2}


@pytest.mark.parametrize("key", [b"", b"\xff", b"no-slash", b"sweep/crm", b"sweep/crm/x", b"a\0b"])
@pytest.mark.parametrize("topic", sorted(FOLDER.names()))
def test_a_tombstone_under_a_key_that_no_row_has_changes_nothing(topic: str, key: bytes) -> None:
    model = folded(org(), policy(), job(), hold(), progress())
    before = {name: dict(table) for name, table in model.tables.items()}

    model.apply(FOLDER.changes(topic, key, None))

    assert model.tables == before


def test_the_rows_hold_nobody_s_id() -> None:
    reference = bytes(range(1, 9))
    model = folded(org(owners=["jo@example.test"]), hold(subjects=reference * 2))

    shown = json.dumps({name: list(table.values()) for name, table in model.tables.items()})

    assert "jo@example.test" not in shown
    assert reference.hex() not in shown
    assert [row["subjects"] for row in rows(model, "holds")] == [2]


def test_a_version_under_its_own_key_is_history_and_never_the_policy_in_force() -> None:
    model = folded(policy(version=2), old_policy(version=2), old_policy(version=1))

    assert [row["version"] for row in rows(model, "org_retention")] == [2]
    assert sorted(row["version"] for row in rows(model, "policy_history")) == [1, 2]


def raw(written: Written, value: bytes) -> Written:
    topic, key, _ = written
    return topic, key, value


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (raw(org(), b""), "undecodable"),
        (raw(org(), (org()[2] or b"") + b"x"), "undecodable"),
        (raw(org(), b"\0\0\0\x03\xe7"), "unknown_schema"),
        (raw(org(), policy()[2] or b""), "unknown_schema"),
        (raw(org("acme"), org("globex")[2] or b""), "key_mismatch"),
        (raw(job("acme", "r1"), job("acme", "r2")[2] or b""), "key_mismatch"),
        (raw(old_policy(version=1), policy(version=2)[2] or b""), "key_mismatch"),
        (raw(hold("acme"), hold("globex")[2] or b""), "key_mismatch"),
        (raw(progress("crm"), progress("feed")[2] or b""), "key_mismatch"),
        (org(title="a\0b"), "bad_value"),
        (hold(records=["a\0b"]), "bad_value"),
        (job(detail="[]"), "bad_value"),
        (job(detail="{"), "bad_value"),
        (job(detail='{"n": NaN}'), "bad_value"),
        (job(detail='{"n": 1e999}'), "bad_value"),
        (job(detail='{"t": "\\u0000"}'), "bad_value"),
        (job(detail='{"t": "\\ud800"}'), "bad_value"),
        (job(detail='{"t": ' + "[" * 100_000), "bad_value"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_record_that_no_row_can_be_made_of_is_named_by_its_reason(written: Written, reason: str) -> None:
    with pytest.raises(Unreadable) as refused:
        FOLDER.changes(*written)

    assert refused.value.reason == reason


def test_a_number_that_only_avro_can_hold_is_refused() -> None:
    topic, key, value = policy(version=1)
    assert value is not None
    at = value.index(b"acme") + len(b"acme")  # the version follows the org

    with pytest.raises(Unreadable):
        FOLDER.changes(topic, key, value[:at] + b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" + value[at + 1 :])
