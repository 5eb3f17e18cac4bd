"""Creates the topics as declared, and says where a cluster differs from the declaration. No client creates any."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from ops.settings import Settings
from schemas.datamap import DataMap
from schemas.errors import Refused
from schemas.topics import MAX_MESSAGE_BYTES, Topics, TopicSpec, all_topics
from streams.lane.changelog import changelog_config

_SEEN_S = 30.0


class WrongTopic(Refused):
    """A topic is there, but not as declared in a way that cannot be mended by us."""


def declared(settings: Settings, data_map: DataMap) -> list[TopicSpec]:
    """Return every topic that an engine with this data map needs."""
    return all_topics(
        Topics(settings.prefix),
        partitions=settings.partitions,
        changelog=changelog_config(max_record_bytes=MAX_MESSAGE_BYTES),
        targets=data_map.targets,
        consumers=[name for name, target in data_map.targets.items() if target.kind == "consumer"],
    )


def create_topics(bootstrap: str, specs: Iterable[TopicSpec], *, replication: int = -1) -> list[str]:
    """Create what is missing and return the names created.

    When it returns, the brokers know all of them. Raises WrongTopic where a topic has another number of partitions:
    keys would go elsewhere.
    """
    wanted = {s.name: s for s in specs}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = admin.list_topics(timeout=30).topics
    for name, spec in wanted.items():
        if name in there and len(there[name].partitions) != spec.partitions:
            raise WrongTopic(
                f"topic {name} has {len(there[name].partitions)} partitions and must have {spec.partitions}: partition "
                "counts are fixed when a cluster is created; set EBBTIDE_PARTITIONS to the cluster's number"
            )
    missing = [
        NewTopic(s.name, num_partitions=s.partitions, replication_factor=replication, config=dict(s.config))
        for s in wanted.values()
        if s.name not in there
    ]
    if not missing:
        return []
    created = []
    for name, future in admin.create_topics(missing, operation_timeout=30).items():
        try:
            future.result()
            created.append(name)
        except KafkaException as e:
            if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    _await(admin, {topic.topic for topic in missing})
    return created


def _await(admin: AdminClient, names: set[str]) -> None:
    """Wait until the brokers tell of `names`: a busy one answers a creation before it does. Raises KafkaException."""
    end = time.monotonic() + _SEEN_S
    while True:
        there = admin.list_topics(timeout=30).topics
        unseen = [name for name in names if name not in there or there[name].error is not None]
        if not unseen:
            return
        if time.monotonic() > end:
            raise KafkaException(
                KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"{unseen} were created and are not seen")
            )
        time.sleep(0.05)


def differences(bootstrap: str, specs: Iterable[TopicSpec]) -> list[str]:
    """Return one plain line for each setting in which the cluster differs from the declaration."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = admin.list_topics(timeout=30).topics
    lines = []
    present = []
    for spec in specs:
        if spec.name not in there:
            lines.append(f"topic {spec.name} is missing: `ebbtide topics create`")
        elif len(there[spec.name].partitions) != spec.partitions:
            lines.append(f"topic {spec.name} has {len(there[spec.name].partitions)} partitions, not {spec.partitions}")
        else:
            present.append(spec)
    resources = [ConfigResource(ResourceType.TOPIC, s.name) for s in present]
    if not resources:
        return lines
    described = admin.describe_configs(resources)
    by_name = {resource.name: future.result() for resource, future in described.items()}
    for spec in present:
        for key, value in spec.config.items():
            actual = by_name[spec.name][key].value
            if actual != value:
                lines.append(f"topic {spec.name}: {key} is {actual}, declared {value}")
    return lines
