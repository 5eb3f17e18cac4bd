"""A real auditor on a real broker: killed, fenced and restarted, it makes each intent one entry, in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer

from ebbtide.partition import partition_of
from ops.audit import AuditTopics, NoLog
from ops.compacted import newest_values
from ops.local.service import KafkaServer
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.topics import Topics, all_topics
from streams.audit.copies import LogCopy, lines_of
from streams.audit.entries import read_leaf
from streams.audit.faults import FORKED, Tampered
from streams.audit.intents import FORGOTTEN, intent
from streams.audit.verify import verify, verify_copy
from tests.integration import scripts
from tests.integration.engine import ends_of, eventually
from tests.integration.log import committed
from tests.support.audit import KEY, SEED

PARTITIONS, CODEC = 2, full_codec()
ORGS = ["acme", "globex", "initech", ""]
KILLS, SIZE = 2, 50


class Written:
    """Intents as the lanes write them: in transactions, some of which are aborted."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self.topics, self.random = topics, Random(5)
        self.numbers: dict[str, list[int]] = {org: [] for org in ORGS}
        self._producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topics.prefix}-writer"})
        self._producer.init_transactions(30)
        self._number = 0

    def people(self) -> list[str]:
        """Return the references of the two people that a request is about."""
        return [f"{self._number % 7:016x}", f"{7 + self._number % 3:016x}"]

    def burst(self, *, abort: bool = False) -> bool:
        self._producer.begin_transaction()
        for _ in range(SIZE):
            org, self._number = self.random.choice(ORGS), self._number + 1
            said = intent("batch", org, {"number": self._number}, request=[f"r-{self._number}"], subject=self.people())
            key = org.encode()
            place = partition_of(key, PARTITIONS)
            self._producer.produce(self.topics.audit_intents, CODEC.encode("AuditIntent", said), key, place)
            if not abort:
                self.numbers[org].append(self._number)
        if abort:
            self._producer.flush(30)
            self._producer.abort_transaction(30)
        else:
            self._producer.commit_transaction(30)
        return False


class Auditors:
    """Auditors of one place; a later one fences those before it."""

    def __init__(self, bootstrap: str, prefix: str, directory: Path) -> None:
        self._arguments, self._directory = [bootstrap, prefix, SEED.hex()], directory
        self.running: list[scripts.Script] = []

    def start(self) -> None:
        log = self._directory / f"auditor-{len(self.running)}.log"
        self.running.append(scripts.start("tests.integration.one_auditor", *self._arguments, log=log))

    def keep_one(self) -> None:
        """Start another where the newest has ended by itself, as a supervisor does."""
        if self.running[-1].poll() is not None:
            self.start()

    def last_words(self) -> str:
        """Return how their logs end."""
        return ends_of(sorted(self._directory.glob("auditor-*.log")))

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def topics(kafka: KafkaServer, prefix: str) -> Topics:
    made = Topics(prefix)
    wanted = {made.audit, made.audit_heads, made.audit_salts, made.audit_intents, made.dead_letters, made.certificates}
    create_topics(kafka.bootstrap, [s for s in all_topics(made, partitions=PARTITIONS) if s.name in wanted])
    return made


@pytest.fixture
def auditors(kafka: KafkaServer, prefix: str, tmp_path: Path) -> Iterator[Auditors]:
    made = Auditors(kafka.bootstrap, prefix, tmp_path)
    yield made
    made.end()


def numbers(copy: LogCopy) -> list[int]:
    leaves = [read_leaf(text) for day in copy.days for text in day.leaves]
    return [leaf.facts["number"] for leaf in leaves if leaf.kind == "batch"]


def values(copy: LogCopy) -> list[str]:
    """Return all that a log's hashes stand for, as far as it is known."""
    return [o.value for day in copy.days for index in sorted(day.openings) for o in day.openings[index]]


def last_day(text: str) -> int:
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def entries(kafka: KafkaServer, topics: Topics) -> int:
    values = [message.value() or b"" for message in committed(kafka.bootstrap, topics.audit)]
    return sum('"kind":"batch"' in r["leaf"] for n, r in map(CODEC.decode, values) if n == "AuditEntry")


def test_killed_again_and_again_it_makes_each_intent_one_entry_and_the_other_of_two_is_fenced(
    kafka: KafkaServer, topics: Topics, auditors: Auditors
) -> None:
    written, soon = Written(kafka.bootstrap, topics), partial(eventually, tell=auditors.last_words)
    for turn in range(KILLS):
        auditors.start()
        for _ in range(3):
            written.burst(abort=turn == 1)
            written.burst()
        done = entries(kafka, topics)

        def goes_on(done: int = done) -> bool:
            auditors.keep_one()
            written.burst()  # had they ended, an auditor that is quick could be done before `done` was counted
            return entries(kafka, topics) > done

        soon(goes_on, what="entries")
        time.sleep(written.random.random() * 0.05)
        process = auditors.running[-1]
        process.kill()
        process.wait()
    auditors.start()
    written.burst()  # only the first can make entries of it: without these, the second may have its place before it

    def is_through() -> bool:
        auditors.keep_one()
        return entries(kafka, topics) == sum(map(len, written.numbers.values()))

    soon(is_through, what="every entry")
    first = auditors.running[-1]
    auditors.start()  # in the same place; who is fenced is told when it commits
    soon(lambda: written.burst() or first.poll() is not None, what="the end of the first")
    soon(is_through, what="the second's entries")
    second = auditors.running[-1]

    assert first.poll() != 0
    reader = AuditTopics(kafka.bootstrap, topics, CODEC, PARTITIONS)
    for org in ORGS:
        copy, newest = reader.read(org, reveal=True)
        assert numbers(copy) == written.numbers[org]
        found = verify_copy(copy, KEY, against=[newest])
        assert found.org == org
        assert verify(lines_of(copy), KEY) == found
        opened = [day.openings[n] for day in copy.days for n in range(1, len(day.leaves))]
        assert [one[0].value for one in opened] == [f"r-{n}" for n in written.numbers[org]]
    with pytest.raises(NoLog):
        reader.read("elsewhere")
    assert reader.look(KEY, most_intents=10, most_logs=10) == (0, len(ORGS))

    # A person's salts are destroyed: no entry opens to them any more, everybody else's do, and all proofs hold.
    before, gone = reader.read("acme", reveal=True)[0], f"{3:016x}"
    concerned = [n for n in written.numbers["acme"] if n % 7 == 3]
    assert reader.unlink("acme", {gone}) == (len(concerned), len(concerned))
    eventually(lambda: len(reader.read("acme")[0].days[-1].leaves) > len(before.days[-1].leaves), what="its own entry")
    after, newest = reader.read("acme", reveal=True)
    assert [v for v in values(after) if v not in values(before)] == []
    assert Counter(values(before)) - Counter(values(after)) == {gone: len(concerned)}
    assert verify_copy(after, KEY, against=[newest, before.newest]).entries == 1 + sum(
        len(d.leaves) for d in before.days
    )
    assert read_leaf(after.days[-1].leaves[-1]).facts == {"entries": len(concerned), "values": len(concerned)}

    # A whole log is let go: it verifies by its name, and nothing says whose it was or what its hashes stand for.
    other = reader.read("globex")[0]
    assert reader.forget("globex") == other.log
    left = reader.read_log(other.log)
    kinds = [read_leaf(text).kind for day in left.days for text in day.leaves]
    assert verify_copy(left, KEY, against=[other.newest]).entries == len(kinds)
    assert (kinds[-1], numbers(left)) == (FORGOTTEN, written.numbers["globex"])
    with pytest.raises(NoLog):
        reader.read("globex")
    salts = newest_values(kafka.bootstrap, topics.audit_salts)
    assert not [key for key in salts if key.startswith(bytes.fromhex(other.log))]
    assert any(key.startswith(bytes.fromhex(after.log)) for key in salts)

    # Whoever can write to the topic, but has no key, is found at the index where they began.
    name, last = bytes.fromhex(after.log), after.days[-1]
    day = {"log": name, "day": last_day(last.day), "index": len(last.leaves)}
    forged = last.leaves[-1].replace('"entries":', '"entrees":')
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    place = partition_of(b"acme", PARTITIONS)
    producer.produce(topics.audit, CODEC.encode("AuditEntry", {**day, "leaf": forged}), name, place)
    assert producer.flush(30) == 0
    with pytest.raises(Tampered) as caught:
        verify_copy(reader.read("acme")[0], KEY)
    assert (caught.value.day, caught.value.index, caught.value.fault) == (last.day, len(last.leaves), FORKED)
    assert second.poll() is None
    second.terminate()
    assert second.wait(30) == 0
