"""A sequencer goes on exactly where what it wrote says, whatever was lost after that."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

import pytest

from schemas.codec import full_codec
from schemas.topics import Topics
from sinks.base import Write
from streams.audit.certificate import check_against, open_certificate
from streams.audit.copies import DayCopy, LogCopy, lines_of
from streams.audit.entries import DAY_MS, ORG, Opening, day_text, read_leaf
from streams.audit.intents import FORGOTTEN, intent
from streams.audit.log import BadState
from streams.audit.verify import verify_copy
from streams.auditor.forgetting import Forgotten
from streams.auditor.sequencer import POSITION, BadIntent, Sequencer, salt_key
from tests.support.audit import KEY, OTHER_SEED, SEED, START, three_days

TOPICS, CODEC = Topics("t"), full_codec()


class Topic:
    """What is committed: the records of all topics, in order."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.salts = count(1)

    def sequencer(self, seed: bytes = SEED) -> Sequencer:
        """Return a new one, restored."""
        made = Sequencer(3, TOPICS, CODEC, KEY, seed, draw=lambda: next(self.salts).to_bytes(32, "big"))
        for write in self.writes:
            if write.topic == TOPICS.audit_heads:
                made.restore(write.key or b"", write.value)
        return made

    def logs(self) -> dict[bytes, LogCopy]:
        """Return every log as anybody reads it."""
        days: dict[bytes, dict[int, DayCopy]] = defaultdict(dict)
        for write in self.writes:
            if write.topic == TOPICS.audit:
                assert write.partition == 3
                name, record = CODEC.decode(write.value or b"")
                assert write.key == record["log"]
                day = days[record["log"]].setdefault(record["day"], DayCopy(day_text(record["day"])))
                (day.leaves if name == "AuditEntry" else day.notes).append(
                    record["leaf" if name == "AuditEntry" else "note"]
                )
        return {log: LogCopy(log.hex(), [of[n] for n in sorted(of)]) for log, of in days.items()}


def said(org: str, number: int) -> bytes:
    facts = {"batch": f"{number:032x}", "target": "crm"}
    return CODEC.encode("AuditIntent", intent("batch", org, facts, request=[f"r-{number}"]))


def numbers(copy: LogCopy) -> list[int]:
    leaves = [read_leaf(text) for day in copy.days for text in day.leaves]
    return [int(leaf.facts["batch"], 16) for leaf in leaves if leaf.kind == "batch"]


def test_with_crashes_before_and_after_commits_every_intent_has_one_entry_and_every_log_verifies() -> None:
    random, topic = Random(7), Topic()
    orgs = ["acme", "globex", ""]
    intents = [(random.choice(orgs), n, (START + n // 40) * DAY_MS + n) for n in range(200)]
    sequencer = topic.sequencer()
    while (at := sequencer.next or 0) < len(intents):
        following = min(len(intents), at + random.randint(1, 9))
        for org, number, ms in intents[at:following]:
            sequencer.take(said(org, number), ms)
        closed = sequencer.close(following)
        fate = random.random()
        if fate < 0.7:  # else it died before the commit
            topic.writes += closed.writes
        if fate > 0.5:
            sequencer = topic.sequencer()

    found = {tuple(numbers(copy)) for copy in topic.logs().values()}
    assert found == {tuple(n for o, n, _ in intents if o == org) for org in orgs}
    for copy in topic.logs().values():
        assert verify_copy(copy, KEY).entries == len(numbers(copy)) + len(copy.days)
        assert [day.day for day in copy.days] == [day_text(START + n) for n in range(5)]


def test_one_transaction_has_entries_a_head_a_state_for_each_log_and_the_position() -> None:
    topic = Topic()
    sequencer = topic.sequencer()
    for org, number in (("acme", 1), ("globex", 2), ("acme", 3)):
        sequencer.take(said(org, number), START * DAY_MS)
    closed = sequencer.close(17)

    by = Counter((write.topic, CODEC.name_of(write.value or b"")) for write in closed.writes)
    assert by == {
        (TOPICS.audit, "AuditEntry"): 5,
        (TOPICS.audit, "AuditHead"): 2,
        (TOPICS.audit_salts, "AuditOpening"): 3,
        (TOPICS.audit_heads, "AuditLog"): 2,
        (TOPICS.audit_heads, "AuditPosition"): 1,
    }
    assert (closed.heads, closed.kinds) == (2, {"begin": 2, "batch": 3})
    assert sequencer.next == 17
    assert sequencer.close(18).heads == 0


def test_what_names_somebody_lies_in_intents_states_and_salts_alone() -> None:
    topic = Topic()
    sequencer = topic.sequencer()
    sequencer.take(said("acme", 1), START * DAY_MS)
    writes = sequencer.close(1).writes

    log = b"".join((write.key or b"") + (write.value or b"") for write in writes if write.topic == TOPICS.audit)
    (opening,) = [write for write in writes if write.topic == TOPICS.audit_salts]
    assert b"acme" not in log
    assert b"r-1" not in log
    assert b"acme" not in (opening.value or b"") + (opening.key or b"")
    record: dict[str, Any] = CODEC.decode(opening.value or b"")[1]
    assert opening.key == salt_key(record["log"], START, 1)
    assert [(v["field"], v["value"]) for v in record["values"]] == [("request", "r-1")]


NO_INTENTS = {
    "empty": b"",
    "bytes": b"nonsense",
    "tick": CODEC.encode("Tick", {"now": 1}),
    "position": CODEC.encode("AuditIntent", intent("batch", "\0position", {})),
    "kind": CODEC.encode("AuditIntent", {"kind": "other", "org": "acme", "facts": "{}", "sealed": []}),
}


@pytest.mark.parametrize("value", NO_INTENTS.values(), ids=NO_INTENTS)
def test_what_is_no_intent_is_refused_and_nothing_is_added(value: bytes) -> None:
    sequencer = Topic().sequencer()

    with pytest.raises(BadIntent) as caught:
        sequencer.take(value, START * DAY_MS)

    assert "acme" not in str(caught.value)
    assert [CODEC.name_of(w.value or b"") for w in sequencer.close(1).writes] == ["AuditPosition"]


def test_a_state_that_is_not_ours_is_not_gone_on_from() -> None:
    for forged in (
        three_days(seed=OTHER_SEED).log.record(),
        {**three_days().log.record(), "size": 1},
    ):
        topic = Topic()
        value = CODEC.encode("AuditLog", forged)
        topic.writes.append(Write(topic=TOPICS.audit_heads, partition=3, key=b"acme", value=value))
        with pytest.raises(BadState):
            topic.sequencer().take(said("acme", 1), START * DAY_MS)


def test_an_org_whose_salt_was_destroyed_begins_another_log_and_a_position_can_be_given_up() -> None:
    topic = Topic()
    first = topic.sequencer()
    first.take(said("acme", 1), START * DAY_MS)
    topic.writes += first.close(1).writes
    for key in (b"acme", POSITION):
        topic.writes.append(Write(topic=TOPICS.audit_heads, partition=3, key=key, value=None))
    second = topic.sequencer()

    assert second.next is None
    second.take(said("acme", 2), START * DAY_MS)
    topic.writes += second.close(2).writes
    assert sorted(numbers(copy) for copy in topic.logs().values()) == [[1], [2]]


def test_a_certificate_is_the_last_entry_under_a_head_of_its_own_and_its_file_proves_it() -> None:
    topic, ended = Topic(), {"job": {"kind": "erase", "state": "completed", "version": 4}, "found": 2}
    certificate = CODEC.encode("AuditIntent", intent("certificate", "acme", ended, request=["r-9"], requester=["ann"]))
    sequencer = topic.sequencer()
    for number in range(5):
        sequencer.take(said("acme", number), START * DAY_MS)
    sequencer.take(certificate, START * DAY_MS + 5)
    sequencer.take(said("acme", 6), START * DAY_MS + 6)
    sequencer.take(certificate, START * DAY_MS + 7)
    topic.writes += sequencer.close(9).writes

    made = [CODEC.decode(w.value or b"")[1] for w in topic.writes if w.topic == TOPICS.certificates]
    ((_, copy),) = topic.logs().items()
    assert [w.key for w in topic.writes if w.topic == TOPICS.certificates] == [b"acme/r-9"] * 2
    assert [(r["request_id"], r["version"], r["issued_at"]) for r in made] == [
        ("r-9", 4, START * DAY_MS + 5),
        ("r-9", 4, START * DAY_MS + 7),
    ]
    for record, index in zip(made, (6, 8), strict=True):
        found = open_certificate(record["body"], KEY, org="acme", request="r-9")
        assert (found.facts, found.leaf.index, found.opened["requester"]) == (ended, index, ["ann"])
        check_against(found, lines_of(copy), KEY)
    assert verify_copy(copy, KEY).entries == 9
    assert len(copy.days[0].notes) == 2


def test_a_forgotten_log_is_signed_to_its_end_and_nothing_says_any_more_whose_it_was() -> None:
    topic = Topic()
    sequencer = topic.sequencer()
    sequencer.take(said("acme", 1), START * DAY_MS)
    sequencer.take(said("globex", 1), START * DAY_MS)
    topic.writes += sequencer.close(2).writes
    sequencer = topic.sequencer()
    sequencer.take(said("acme", 2), START * DAY_MS + 1)
    sequencer.take(CODEC.encode("AuditIntent", intent(FORGOTTEN, "acme", {})), START * DAY_MS + 2)
    sequencer.take(said("acme", 3), START * DAY_MS + 3)  # of the same transaction
    closed = sequencer.close(5)
    (gone,) = closed.forgotten
    old = [w for w in topic.writes if gone.concerns(TOPICS, w.topic, w.key or b"")]
    topic.writes += [replace(w, value=None) for w in old] + closed.writes

    logs, live = topic.logs(), {(w.topic, w.key): w.value for w in topic.writes}
    first, second = logs.pop(gone.log), next(copy for copy in logs.values() if numbers(copy) == [3])
    assert (numbers(first), len(old)) == ([1, 2], 1)
    assert read_leaf(first.days[-1].leaves[-1]).kind == FORGOTTEN
    for copy in (first, second):
        assert verify_copy(copy, KEY).entries == len(copy.days[0].leaves)
    opened = [CODEC.decode(v)[1] for (t, k), v in live.items() if t == TOPICS.audit_salts and v is not None]
    assert {o["log"].hex() for o in opened} == {copy.log for copy in logs.values()}
    state = CODEC.decode(live[TOPICS.audit_heads, b"acme"] or b"")[1]
    assert Opening(ORG, 0, state["salt"], "acme").hash() == second.log
    again = topic.sequencer()
    again.take(said("acme", 4), START * DAY_MS + 4)
    topic.writes += again.close(6).writes
    assert numbers(topic.logs()[bytes.fromhex(second.log)]) == [3, 4]
    assert numbers(topic.logs()[gone.log]) == [1, 2]


def test_an_org_s_certificates_go_with_its_log_and_another_s_stay() -> None:
    gone = Forgotten(b"l" * 32, "acme")

    assert gone.concerns(TOPICS, TOPICS.certificates, b"acme/r-1")
    assert gone.concerns(TOPICS, TOPICS.audit_salts, salt_key(b"l" * 32, START, 3))
    for topic, key in (
        (TOPICS.certificates, b"acme/too/r-1"),
        (TOPICS.certificates, b"acme-2/r-1"),
        (TOPICS.audit_salts, salt_key(b"m" * 32, START, 3)),
        (TOPICS.audit, b"l" * 32),
        (TOPICS.audit_heads, b"acme"),
    ):
        assert not gone.concerns(TOPICS, topic, key)
