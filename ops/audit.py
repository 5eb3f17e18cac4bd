"""Reads audit logs from their topics, and destroys salts. Used by `ebbtide audit`; docs/audit.md has the forms.

What is read is not believed here: `streams.audit.verify` judges it by the key. `tests/integration/test_audit.py`
reads what a real auditor wrote.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from confluent_kafka import Producer

from ebbtide.envelope import public_key_of
from ebbtide.partition import partition_of
from ebbtide.producing import SureProducer
from ebbtide.wire import Codec
from ops.installation import own_signing_key
from ops.reading import read_to_end, settled_end
from ops.rules_topic import current_rules
from ops.settings import Settings
from schemas.errors import Refused, Retry
from schemas.keys import audit_seed
from schemas.topics import Topics
from streams.audit.copies import DayCopy, LogCopy
from streams.audit.entries import ORG, Opening, day_text
from streams.audit.intents import FORGOTTEN, INSTALLATION, intent
from streams.audit.log import OrgLog, head_key
from streams.audit.note import NoteKey
from streams.auditor.sequencer import POSITION

LOG_BYTES = 32


class NoLog(Refused):
    """An org has no audit log, or whose log it is is not known any more."""


class NotForgotten(Retry):
    """A log was asked to be let go, and the auditor has not done it yet."""


class NotTold(Retry):
    """What is about to happen is not known to be in the audit log: it must not happen."""


class NoAuditKey(Refused):
    """It is not known whose signature is to be believed."""


@dataclass(frozen=True, slots=True)
class AuditTopics:
    """The audit topics of one engine; `partitions` is their number."""

    bootstrap: str
    topics: Topics
    codec: Codec
    partitions: int

    @classmethod
    def of(cls, settings: Settings, codec: Codec) -> AuditTopics:
        """Return those that settings name."""
        return cls(settings.kafka_bootstrap, Topics(settings.prefix), codec, settings.partitions)

    def state(self, org: str) -> dict[str, Any]:
        """Return where an org's log stands, an `AuditLog`. Raises NoLog."""
        key, found = org.encode(), None
        for message in read_to_end(self.bootstrap, self.topics.audit_heads, partition=self._place(org)):
            if (message.key() or b"") == key:
                found = message.value()
        if found is None:
            raise NoLog(f"there is no audit log of org {org!r}: it has no entries yet, or its salt was destroyed")
        return self.codec.decode(found)[1]

    def read(self, org: str, *, reveal: bool = False) -> tuple[LogCopy, str]:
        """Return an org's log and its newest head as it is known apart from the log.

        `reveal`: with what its hashes stand for. Raises NoLog, TopicUnreadable.
        """
        state = self.state(org)  # first: the log is as new then, or newer
        opened = Opening(ORG, 0, state["salt"], org)
        name, place = bytes.fromhex(opened.hash()), self._place(org)
        settled = settled_end(self.bootstrap, self.topics.audit, place)
        copy = copy_of(name.hex(), self._records(place, name), settled)
        if reveal:
            copy.org, days = opened, {day.day: day for day in copy.days}
            for _, record in self._openings(org, name):
                day = days.get(day_text(record["day"]))
                if day is not None:
                    values = [Opening(v["field"], v["place"], v["salt"], v["value"]) for v in record["values"]]
                    day.openings[record["index"]] = values
        return copy, str(state["note"])

    def unlink(self, org: str, refs: Collection[str]) -> tuple[int, int]:
        """Destroy the salts of subjects, given as references in hex; return how many values of how many entries.

        What was destroyed has an entry of its own, in the same transaction. Raises NoLog, KafkaException.
        """
        log = bytes.fromhex(self._name(org))
        producer = SureProducer(
            {"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.topics.prefix}-audit-unlink"}
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        place, values, entries = self._place(org), 0, 0
        for key, record in list(self._openings(org, log)):
            left = [v for v in record["values"] if v["field"] != "subject" or v["value"] not in refs]
            gone = len(record["values"]) - len(left)
            if gone:
                values, entries = values + gone, entries + 1
                kept = self.codec.encode("AuditOpening", {**record, "values": left}) if left else None
                producer.produce(self.topics.audit_salts, kept, key, place)
        told = self.codec.encode("AuditIntent", intent("unlinked", org, {"entries": entries, "values": values}))
        producer.produce(self.topics.audit_intents, told, org.encode(), place)
        producer.commit_transaction(30)
        return values, entries

    def forget(self, org: str, *, limit_s: float = 60.0) -> str:
        """Have all that links an org's log to anybody destroyed; return the log's name, 64 hex digits.

        The auditor does it, in one transaction. Raises NoLog, NotTold; NotForgotten: it has not yet, and does so when
        it is back.
        """
        name = self._name(org)
        self.tell(intent(FORGOTTEN, org, {}))
        end = time.monotonic() + limit_s
        while self._is_known(org, name):
            if time.monotonic() > end:
                raise NotForgotten(
                    f"the auditor has not destroyed it within {limit_s:g} s: it does so when it is back; "
                    f"`ebbtide audit verify --log {name}` shows the entry `{FORGOTTEN}` then"
                )
            time.sleep(0.2)
        return name

    def tell(self, said: Mapping[str, Any]) -> None:
        """Write an `AuditIntent`, and return when the brokers have it. Raises NotTold."""
        problems: list[str] = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
        producer.produce(
            self.topics.audit_intents,
            self.codec.encode("AuditIntent", said),
            said["org"].encode(),
            self._place(said["org"]),
            on_delivery=lambda error, _: problems.append(str(error.name())) if error is not None else None,
        )
        if producer.flush(30) or problems:
            raise NotTold(f"the audit log could not be told ({'; '.join(problems) or 'no answer'}): nothing was done")

    def _name(self, org: str) -> str:
        return Opening(ORG, 0, self.state(org)["salt"], org).hash()

    def _is_known(self, org: str, name: str) -> bool:
        """Whether it can be told yet that a log is the org's."""
        try:
            return self._name(org) == name
        except NoLog:
            return False

    def read_log(self, name: str) -> LogCopy:
        """Return a log by its name, 64 hex digits: nobody needs to know whose it is. Raises NoLog, TopicUnreadable."""
        log = bytes.fromhex(name)
        for partition in range(self.partitions):
            settled = settled_end(self.bootstrap, self.topics.audit, partition)
            records = list(self._records(partition, log))
            if records:
                return copy_of(name, records, settled)
        raise NoLog(f"there is no audit log of the name {name}")

    def look(self, key: NoteKey, *, most_intents: int, most_logs: int) -> tuple[int, int]:
        """Return how many intents are no entries yet, and how many logs' newest heads were checked; at most so many.

        Raises BadState: one is not what `key` has signed; TopicUnreadable.
        """
        positions: dict[int, int] = {}
        states: dict[bytes, bytes] = {}
        for message in read_to_end(self.bootstrap, self.topics.audit_heads):
            name, value, partition = message.key() or b"", message.value(), int(message.partition() or 0)
            if value is None:
                states.pop(name, None)
                positions.pop(partition if name == POSITION else -1, None)
            elif name == POSITION:
                positions[partition] = self.codec.decode(value)[1]["next"]
            else:
                states[name] = value
        chosen = list(islice(states.values(), most_logs))
        for value in chosen:
            OrgLog.of(self.codec.decode(value)[1], key)
        left = read_to_end(self.bootstrap, self.topics.audit_intents, since=positions)
        return sum(1 for _ in islice(left, most_intents)), len(chosen)

    def _place(self, org: str) -> int:
        return partition_of(org.encode(), self.partitions)

    def _records(self, partition: int, log: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        for message in read_to_end(self.bootstrap, self.topics.audit, partition=partition):
            value = message.value()
            if (message.key() or b"") == log and value is not None:
                yield int(message.offset() or 0), self.codec.decode(value)[1]

    def _openings(self, org: str, log: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        newest: dict[bytes, bytes | None] = {}
        for message in read_to_end(self.bootstrap, self.topics.audit_salts, partition=self._place(org)):
            key = message.key() or b""
            if key[:LOG_BYTES] == log:
                newest[key] = message.value()
        for key, value in newest.items():
            if value is not None:
                yield key, self.codec.decode(value)[1]


def copy_of(log: str, records: Iterable[tuple[int, Mapping[str, Any]]], settled: int) -> LogCopy:
    """Put `AuditEntry` and `AuditHead` records, each with its offset, together as a log.

    Two things are left out, and nothing else: a first day that retention has begun to take, and behind the last head
    entries from `settled` on, of a transaction that was not over and may have been read in part.
    """
    days: dict[int, DayCopy] = {}
    tail: list[tuple[int, DayCopy]] = []
    for offset, record in records:
        day = days.setdefault(record["day"], DayCopy(day_text(record["day"])))
        if "note" in record:
            day.notes.append(record["note"])
            tail.clear()
        else:
            day.leaves.append(record["leaf"])
            tail.append((offset, day))
    for offset, day in reversed(tail):
        if offset >= settled:
            day.leaves.pop()
    found = [days[number] for number in sorted(days) if days[number].leaves or days[number].notes]
    if found and found[0].leaves and '"index":0,' not in found[0].leaves[0]:
        found.pop(0)
    return LogCopy(log, found)


def audit_key(settings: Settings, codec: Codec | None = None, given: str = "") -> NoteKey:
    """Return whose signature is believed: the key that is `given`, else the one in the rules in force, else our own.

    Raises NoAuditKey, BadKey, RulesNotSigned.
    """
    if given:
        return NoteKey.of(given)
    if settings.kafka_bootstrap and codec is not None:
        topics = Topics(settings.prefix)
        rules = current_rules(settings.kafka_bootstrap, topics, codec, signed_by=settings.rules_signer())
        if rules is not None and rules.audit_key:
            return head_key(bytes.fromhex(rules.audit_key))
    signing = settings.signing_key or own_signing_key(settings.data_dir)
    if settings.audit_signing_key:
        return head_key(public_key_of(settings.key("audit_signing_key")))
    if signing:
        return head_key(public_key_of(audit_seed(bytes.fromhex(signing))))
    raise NoAuditKey("it is not known who signs this engine's audit logs: give --key, as `ebbtide audit key` prints it")


def org_of(text: str) -> str:
    """Return the org that a person means: a single hyphen stands for the installation itself."""
    return INSTALLATION if text == "-" else text
