"""What a cluster says now about compaction: settings, open transactions, replicas and groups that are behind.

Reads only. Used by `sinks.kafka_gone`; `tests/integration/targets/test_kafka_gone.py` says what it promises.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    PartitionMetadata,
    ResourceType,
)

from schemas.client_errors import answered
from schemas.offsets import first_since, partition_ends
from sinks.kafka_bound import Compaction
from sinks.kafka_residue import open_transactions

_WAIT_S: Final = 30.0
_MOST_NAMED: Final = 5


def topic_settings(admin: AdminClient, topic: str) -> dict[str, str]:
    """Return the effective settings of a topic. Raises KafkaException."""
    return _configs(admin, ConfigResource(ResourceType.TOPIC, topic))


def compactions(admin: AdminClient, topics: Iterable[str], *, nudged: bool) -> dict[str, Compaction]:
    """Return what bounds each topic. Where brokers do not tell their own settings, Kafka's defaults are taken.

    Of several brokers the slowest counts. Raises KafkaException.
    """
    slowest: dict[str, str] = {}
    for broker in admin.list_topics(timeout=_WAIT_S).brokers:
        try:
            told = _configs(admin, ConfigResource(ResourceType.BROKER, str(broker)))
        except KafkaException:
            continue  # the right to describe the cluster is missing
        if told.get("log.cleaner.enable") == "false":
            slowest["log.cleaner.enable"] = "false"
        backoff = "log.cleaner.backoff.ms"
        if backoff in told and float(told[backoff]) >= float(slowest.get(backoff, "0")):
            slowest[backoff] = told[backoff]
    return {topic: Compaction.of(topic, topic_settings(admin, topic), slowest, nudged=nudged) for topic in topics}


def held_back(admin: AdminClient, topic: str) -> dict[int, str]:
    """Return by partition what keeps a topic from being compacted now. Raises KafkaException."""
    opened = open_transactions(admin, topic, len(_partitions(admin, topic)))
    return {
        partition: f"an open transaction in {topic}, partition {partition}, from offset {first} on: compaction stops "
        "there until it ends (`kafka-transactions.sh find-hanging` names its producer)"
        for partition, first in opened.items()
    }


def unseen_files(admin: AdminClient, topic: str) -> tuple[str, ...]:
    """Name the replicas that are not in sync: reading the topic says nothing of them. Raises KafkaException."""
    return tuple(
        f"replica {replica} of {topic}, partition {partition}, is not in sync: what its files hold is not known"
        for partition, told in sorted(_partitions(admin, topic).items())
        for replica in sorted(set(told.replicas) - set(told.isrs))
    )


def groups_behind(admin: AdminClient, compaction: Compaction) -> tuple[str, ...]:
    """Name the consumer groups that are further behind than tombstones live: they may never see one.

    Where groups may not be asked, that is what is named.
    """
    try:
        return _groups_behind(admin, compaction)
    except KafkaException as error:
        why = error.args[0].name()
        return (f"the consumer groups of {compaction.topic} could not be asked ({why}): who is behind is not known",)


def _groups_behind(admin: AdminClient, compaction: Compaction) -> tuple[str, ...]:
    topic = compaction.topic
    if math.isinf(compaction.tombstones_s):
        return ()
    places = [(topic, partition) for partition in range(len(_partitions(admin, topic)))]
    oldest_ms = int((time.time() - compaction.tombstones_s) * 1000)
    # No offset: nothing was written since then, so whoever is not at the end is behind.
    ends = partition_ends(admin, places, _WAIT_S)
    kept = first_since(admin, places, oldest_ms, _WAIT_S)
    floor = {place: offset if offset >= 0 else ends[place] for place, offset in kept.items()}
    listed = answered(admin.list_consumer_groups(request_timeout=_WAIT_S), _WAIT_S)
    groups = [group.group_id for group in listed.valid]
    wanted = [TopicPartition(*place) for place in places]
    asking = {  # all at once: a cluster may have very many
        group: admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, wanted)], request_timeout=_WAIT_S
        )[group]
        for group in sorted(groups)
    }
    behind = []
    for group, answer in asking.items():
        # One offset of grace: the marker that ended the last transaction is no record.
        if any(0 <= tp.offset < floor[tp.topic, tp.partition] - 1 for tp in answered(answer, _WAIT_S).topic_partitions):
            behind.append(group)
    named = ", ".join(behind[:_MOST_NAMED]) + (f" and {len(behind) - _MOST_NAMED} more" if behind[_MOST_NAMED:] else "")
    if not behind:
        return ()
    return (
        f"consumer group{'s' if len(behind) > 1 else ''} {named}: further behind in {topic} than delete.retention.ms "
        f"({compaction.tombstones_s:g} s): who reads there may keep what was erased and never hear of it",
    )


def _partitions(admin: AdminClient, topic: str) -> dict[int, PartitionMetadata]:
    metadata = admin.list_topics(topic, timeout=_WAIT_S).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return dict(metadata.partitions)


def _configs(admin: AdminClient, resource: ConfigResource) -> dict[str, str]:
    found = answered(admin.describe_configs([resource], request_timeout=_WAIT_S)[resource], _WAIT_S)
    return {name: str(entry.value) for name, entry in found.items()}
