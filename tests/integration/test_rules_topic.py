"""What applying rules promises: one version, one body, whoever else applies some at the same time."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer

from ebbtide.envelope import public_key_of
from ops.datamaps import variables
from ops.doctor import examine
from ops.local.service import KafkaServer
from ops.roles import run_role
from ops.rules_topic import KEY as RULES_KEY
from ops.rules_topic import RulesNotSigned, apply_rules, current_rules, set_paused
from ops.settings import Settings
from ops.topics import create_topics
from schemas.codec import full_codec
from schemas.datamap import load_data_map
from schemas.keys import sign_rules
from schemas.rules import Rules
from schemas.topics import Topics, all_topics

CODEC, KEY = full_codec(), b"k" * 32
ROOT = Path(__file__).parents[2]
S3 = {"s3_endpoint": "http://127.0.0.1:1", "s3_access_key": "none", "s3_secret_key": "none", "s3_bucket": "none"}


@pytest.fixture
def topics(kafka: KafkaServer, prefix: str) -> Topics:
    create_topics(kafka.bootstrap, all_topics(Topics(prefix), partitions=2))
    return Topics(prefix)


def test_rules_are_in_force_as_soon_as_they_are_applied_and_the_same_ones_change_nothing(
    kafka: KafkaServer, topics: Topics
) -> None:
    for version in (1, 2, 3):
        make = partial(_rules, version)

        made = apply_rules(kafka.bootstrap, topics, CODEC, make, partitions=2, signing_key=KEY)
        again = apply_rules(kafka.bootstrap, topics, CODEC, make, partitions=2, signing_key=KEY)

        assert made == (make(version), True)
        assert again == (make(version), False)
        assert current_rules(kafka.bootstrap, topics, CODEC, signed_by=None) == make(version)


def _rules(lateness_s: int, version: int, _: Rules | None = None) -> Rules:
    return Rules(version=version, lateness_s=lateness_s)


def test_two_who_apply_rules_at_once_never_give_one_version_to_two_bodies(kafka: KafkaServer, topics: Topics) -> None:
    others: list[Rules] = []

    def make(version: int, _: Rules | None) -> Rules:
        if not others:  # the other one comes between our look at the rules and our write
            rules, _ = apply_rules(kafka.bootstrap, topics, CODEC, partial(_rules, 1), partitions=2, signing_key=KEY)
            others.append(rules)
        return _rules(2, version)

    with pytest.raises(KafkaException):
        apply_rules(kafka.bootstrap, topics, CODEC, make, partitions=2, signing_key=KEY)

    assert current_rules(kafka.bootstrap, topics, CODEC, signed_by=None) == others[0]


@pytest.mark.parametrize("forged", ["another key", "another body"])
def test_what_somebody_else_puts_on_the_topic_nobody_obeys_and_a_pause_does_not_sign_it(
    kafka: KafkaServer, topics: Topics, forged: str
) -> None:
    real = Rules(version=1, paused=True)
    apply_rules(kafka.bootstrap, topics, CODEC, lambda _v, _r: real, partitions=2, signing_key=KEY)
    fake = Rules(version=2)
    said = {"version": 2, "hash": fake.hash, "code_version": fake.code_version, "body": fake.to_json()}
    record = sign_rules(said, KEY if forged == "another body" else b"x" * 32)
    if forged == "another body":
        record["body"] = Rules(version=2, lateness_s=77).to_json()
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topics.rules, CODEC.encode("RulesSet", record), key=RULES_KEY, partition=0)
    assert producer.flush(30) == 0

    settings = Settings(
        kafka_bootstrap=kafka.bootstrap,
        prefix=topics.prefix,
        partitions=2,
        rules_public_key=public_key_of(KEY).hex(),
        data_map=str(ROOT / "ops" / "demo" / "datamap.yaml"),
        postgres_dsn="postgresql://nowhere",
        **S3,
    )
    for role in ("gateway", "ledger"):
        with pytest.raises(RulesNotSigned, match="rules apply"):
            run_role(role, settings, threading.Event())
    data_map = load_data_map(Path(settings.data_map), variables(settings))
    found = next(finding for finding in examine(settings, data_map, CODEC) if finding.what == "rules")
    assert (found.level, "rules apply" in found.text) == ("mend", True)
    with pytest.raises(RulesNotSigned, match="rules apply"):
        current_rules(kafka.bootstrap, topics, CODEC, signed_by=public_key_of(KEY))
    with pytest.raises(RulesNotSigned):
        set_paused(kafka.bootstrap, topics, CODEC, False, partitions=2, signing_key=KEY)
    made, _ = apply_rules(kafka.bootstrap, topics, CODEC, lambda v, _: Rules(version=v), partitions=2, signing_key=KEY)
    assert current_rules(kafka.bootstrap, topics, CODEC, signed_by=public_key_of(KEY)) == made
