"""The rules in force, on their own compacted topic, and from there to every coordinator partition.

`apply_rules` is what `ebbtide up` and `ebbtide rules apply` do with a data map. The version grows with each change, so
that a worker knows which of two is newer; the same data map applied twice changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Producer

from ebbtide.envelope import public_key_of
from ebbtide.wire import Codec
from ops.compacted import newest_values
from schemas.errors import Refused
from schemas.keys import rules_are_signed, sign_rules
from schemas.rules import Rules
from schemas.topics import Topics

KEY = b"rules"


class NoRules(Refused):
    """No rules were ever applied."""


class RulesNotSigned(Refused):
    """What lies on the topic was not put there by the installation."""


def current_rules(bootstrap: str, topics: Topics, codec: Codec, *, signed_by: bytes | None) -> Rules | None:
    """Return the rules in force, None if there never were any.

    `signed_by`: the public key (32 bytes) of who may put rules in force, `Settings.rules_signer`; None believes whoever
    can write to the topic.
    Raises RulesNotSigned, BadRules.
    """
    found = _read(bootstrap, topics, codec, signed_by)
    return None if found is None else found.rules


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """What lies on the topic: the record, and the rules that its body makes."""

    record: Mapping[str, Any]
    rules: Rules

    def is_signed(self, public_key: bytes) -> bool:
        said = (self.record["version"], self.record["code_version"], self.record["hash"])
        own = (self.rules.version, self.rules.code_version, self.rules.hash)
        return rules_are_signed(self.record, public_key) and said == own


def _read(bootstrap: str, topics: Topics, codec: Codec, signed_by: bytes | None) -> _Found | None:
    raw = newest_values(bootstrap, topics.rules).get(KEY)
    if raw is None:
        return None
    record = codec.decode(raw)[1]
    found = _Found(record, Rules.from_json(record["body"]))
    if signed_by is not None and not found.is_signed(signed_by):
        raise RulesNotSigned(
            f"the rules on topic {topics.rules} are not signed with the installation's key: see who writes there, and "
            "put the data map in force again with `ebbtide rules apply`"
        )
    return found


def rules_in_force(bootstrap: str, topics: Topics, codec: Codec, *, signed_by: bytes | None) -> Rules:
    """Return the rules in force; `signed_by` as for `current_rules`. Raises NoRules, RulesNotSigned, BadRules."""
    rules = current_rules(bootstrap, topics, codec, signed_by=signed_by)
    if rules is None:
        raise NoRules("the engine has no rules yet: run `ebbtide rules apply --data-map FILE`")
    return rules


def set_paused(
    bootstrap: str, topics: Topics, codec: Codec, paused: bool, *, partitions: int, signing_key: bytes
) -> tuple[Rules, bool]:
    """Stop all targets, or let them go on; return the rules in force and whether that was a change.

    Raises NoRules; RulesNotSigned, so that nobody's rules get our signature by this.
    """

    def make(version: int, old: Rules | None) -> Rules:
        if old is None:
            raise NoRules("the engine has no rules yet, so that no target works: nothing is to be paused")
        return dataclasses.replace(old, version=version, paused=paused)

    own = public_key_of(signing_key)
    return apply_rules(
        bootstrap, topics, codec, make, partitions=partitions, signing_key=signing_key, only_signed_by=own
    )


def apply_rules(
    bootstrap: str,
    topics: Topics,
    codec: Codec,
    make: Callable[[int, Rules | None], Rules],
    *,
    partitions: int,
    signing_key: bytes,
    only_signed_by: bytes | None = None,
) -> tuple[Rules, bool]:
    """Put `make(version, rules so far)` in force, signed; return the rules in force and whether that was a change.

    Who makes new rules of the old ones says whose the old ones must be: `only_signed_by`, as for `current_rules`.
    Whoever applies rules at the same time is fenced off before the newest are read, so that no version is given twice.
    Raises KafkaException in the one that was fenced: nothing of it is in force.
    """
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": f"{topics.prefix}-rules", "transaction.timeout.ms": 10_000}
    )
    producer.init_transactions(30)
    found = _read(bootstrap, topics, codec, only_signed_by)
    old = None if found is None else found.rules
    # What somebody else signed nobody who looks at signatures has: it is signed anew, be it the same.
    same = found is not None and make(found.rules.version, old).hash == found.rules.hash
    if found is not None and same and found.is_signed(public_key_of(signing_key)):
        return found.rules, False
    rules = make(1 if old is None else old.version + 1, old)
    record = {
        "version": rules.version,
        "hash": rules.hash,
        "code_version": rules.code_version,
        "body": rules.to_json(),
    }
    value = codec.encode("RulesSet", sign_rules(record, signing_key))
    producer.begin_transaction()
    producer.produce(topics.rules, value, key=KEY, partition=0)
    for partition in range(partitions):
        producer.produce(topics.requests, value, key=b"", partition=partition)
    producer.commit_transaction(30)
    return rules, True
