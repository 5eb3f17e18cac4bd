"""Reads audit logs from their topics, and destroys salts. Used by `ebbtide audit`; docs/audit.md has the forms.

What is read is not believed here: `streams.audit.verify` judges it by the key. `tests/integration/test_audit.py`
reads what a real auditor wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from confluent_kafka import Producer

from ebbtide.envelope import public_key_of
from ebbtide.partition import partition_of
from ebbtide.wire import Codec
from ops.compacted import newest_values
from ops.installation import own_signing_key
from ops.reading import read_to_end
from ops.rules_topic import current_rules
from ops.settings import Settings
from schemas.errors import Refused
from schemas.keys import audit_seed
from schemas.topics import Topics
from streams.audit.copies import DayCopy, LogCopy
from streams.audit.entries import ORG, Opening, day_text
from streams.audit.intents import INSTALLATION, intent
from streams.audit.log import NAME, OrgLog
from streams.audit.note import NoteKey
from streams.auditor.sequencer import POSITION

LOG_BYTES = 32


class NoLog(Refused):
    """An org has no audit log, or whose log it is is not known any more."""


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
        copy = LogCopy(opened.hash(), [], opened if reveal else None)
        days: dict[int, DayCopy] = {}
        for name, record in self._records(self.topics.audit, org, bytes.fromhex(copy.log)):
            day = days.setdefault(record["day"], DayCopy(day_text(record["day"])))
            if name == "AuditEntry":
                day.leaves.append(record["leaf"])
            elif name == "AuditHead":
                day.notes.append(record["note"])
        for _, record in self._openings(org, bytes.fromhex(copy.log)) if reveal else ():
            if record["day"] in days:
                values = [Opening(v["field"], v["place"], v["salt"], v["value"]) for v in record["values"]]
                days[record["day"]].openings[record["index"]] = values
        copy.days += [days[number] for number in sorted(days)]
        return copy, str(state["note"])

    def unlink(self, org: str, refs: Collection[str]) -> tuple[int, int]:
        """Destroy the salts of subjects, given as references in hex; return how many values of how many entries.

        What was destroyed has an entry of its own, in the same transaction. Raises NoLog, KafkaException.
        """
        log = bytes.fromhex(Opening(ORG, 0, self.state(org)["salt"], org).hash())
        producer = Producer(
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

    def waiting(self, most: int) -> int:
        """Return how many intents are no entries yet, at most `most`. Raises TopicUnreadable."""
        count = 0
        for partition in range(self.partitions):
            following = 0
            for message in read_to_end(self.bootstrap, self.topics.audit_heads, partition=partition):
                if message.key() == POSITION:
                    value = message.value()
                    following = 0 if value is None else self.codec.decode(value)[1]["next"]
            left = read_to_end(
                self.bootstrap, self.topics.audit_intents, partition=partition, start=partial(min, following)
            )
            count += sum(1 for _ in islice(left, most - count))
        return count

    def check_heads(self, key: NoteKey, most: int) -> int:
        """Check the newest heads of at most `most` logs; return how many. Raises BadState."""
        found = {k: v for k, v in newest_values(self.bootstrap, self.topics.audit_heads).items() if k != POSITION}
        chosen = list(islice(found.values(), most))
        for value in chosen:
            OrgLog.of(self.codec.decode(value)[1], key)
        return len(chosen)

    def _place(self, org: str) -> int:
        return partition_of(org.encode(), self.partitions)

    def _records(self, topic: str, org: str, log: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        for message in read_to_end(self.bootstrap, topic, partition=self._place(org)):
            value = message.value()
            if (message.key() or b"") == log and value is not None:
                yield self.codec.decode(value)

    def _openings(self, org: str, log: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        newest: dict[bytes, bytes | None] = {}
        for message in read_to_end(self.bootstrap, self.topics.audit_salts, partition=self._place(org)):
            key = message.key() or b""
            if key[:LOG_BYTES] == log:
                newest[key] = message.value()
        for key, value in newest.items():
            if value is not None:
                yield key, self.codec.decode(value)[1]


def audit_key(settings: Settings, codec: Codec | None = None, given: str = "") -> NoteKey:
    """Return whose signature is believed: the key that is `given`, else the one in the rules in force, else our own.

    Raises NoAuditKey, BadKey, RulesNotSigned.
    """
    if given:
        return NoteKey.of(given)
    if settings.kafka_bootstrap and codec is not None:
        signer = settings.rules_key() if settings.rules_public_key or settings.signing_key else None
        rules = current_rules(settings.kafka_bootstrap, Topics(settings.prefix), codec, signed_by=signer)
        if rules is not None and rules.audit_key:
            return NoteKey(NAME, bytes.fromhex(rules.audit_key))
    signing = settings.signing_key or own_signing_key(settings.data_dir)
    if settings.audit_signing_key:
        return NoteKey(NAME, public_key_of(settings.key("audit_signing_key")))
    if signing:
        return NoteKey(NAME, public_key_of(audit_seed(bytes.fromhex(signing))))
    raise NoAuditKey("it is not known who signs this engine's audit logs: give --key, as `ebbtide audit key` prints it")


def org_of(text: str) -> str:
    """Return the org that a person means: a single hyphen stands for the installation itself."""
    return INSTALLATION if text == "-" else text
