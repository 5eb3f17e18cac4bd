"""Publishes lifecycle events: what a service that owns records uses.

    with Publisher("localhost:9092", producer="crm") as publisher:
        publisher.org("acme", name="Acme Boats")
        publisher.created("acme", "messages", "m-17", subjects=["u-4"])

Messages go out in the background, but for the first to a partition, which is waited for, `timeout_s` at most.
`flush()`, which leaving the `with` block calls, returns when the brokers have all of them or raises PublishError: only
then is anything certain. Publishing something twice does no harm. Proven by `tests/integration/test_publisher.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message

from ebbtide.events import LifecycleBatch, LifecycleEvent, OrgSet, batches, texts_of, to_ms
from ebbtide.partition import partition_of
from ebbtide.producing import SureProducer, problem_of
from ebbtide.registry import registry_ids, schema_text
from ebbtide.wire import PUBLIC_IDS, Codec, public_codec, read_schema

When = datetime | int | None
"""A time with a zone, milliseconds since the epoch, or None for now."""


_NEW_TOPIC_S = 5.0


class PublishError(RuntimeError):
    """Some messages did not reach the brokers. Publishing all of them again is safe."""


class Publisher:
    """Writes events of one producer. Safe to share among threads.

    `registry` is a schema registry's address, `config` are more librdkafka settings, such as TLS and SASL.
    Raises PublishError if the cluster does not answer within `timeout_s` or has no ebbtide topics;
    ebbtide.registry.RegistryError.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str = "ebbtide",
        producer: str = "",
        registry: str | None = None,
        config: Mapping[str, Any] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._name = producer
        self._timeout_s = timeout_s
        self._errors: list[str] = []
        self._codec = _codec(registry)
        settings = {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "compression.type": "lz4",
            "message.max.bytes": 4_000_000,
            **(config or {}),
        }
        try:
            self._producer = SureProducer(settings, alone_s=timeout_s)
        except KafkaException as error:
            raise PublishError(f"the Kafka client refuses its settings: {error.args[0].str()}") from error
        self._lifecycle, self._orgs = f"{prefix}.lifecycle", f"{prefix}.orgs"
        self._counts = self._partitions()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.flush(self._timeout_s)

    def org(
        self,
        org: str,
        *,
        name: str,
        region: str = "",
        owners: Sequence[str] = (),
        contract_start: datetime | int | None = None,
        contract_end: datetime | int | None = None,
        status: str = "active",
        shards: int = 1,
    ) -> None:
        """Say what is known of an org; nothing of an org is due before it was said. The newest replaces the rest.

        `contract_end` None: the contract has no end.
        """
        value = OrgSet(
            org=org,
            name=name,
            region=region,
            owners=texts_of("org", "owners", owners),
            contract_start=to_ms(contract_start or 0, "org", "contract_start"),
            contract_end=to_ms(contract_end or 0, "org", "contract_end"),
            status=status,
            shards=shards,
            set_at=_ms(None),
        )
        self._send(self._orgs, "OrgSet", org, value.record())

    def created(
        self,
        org: str,
        category: str,
        record_id: str,
        *,
        subjects: Sequence[str] = (),
        at: When = None,
        target: str = "",
        region: str = "",
    ) -> None:
        """A record was made. `target` names the one store that holds it; empty: each target of its category."""
        self._event("created", org, category, record_id, at, subjects=subjects, target=target, region=region)

    def touched(self, org: str, category: str, record_id: str, *, at: When = None) -> None:
        """A record was used: categories that count from the last activity begin anew."""
        self._event("touched", org, category, record_id, at)

    def deleted(self, org: str, category: str, record_id: str, *, at: When = None) -> None:
        """The producer deleted a record itself: ebbtide forgets it."""
        self._event("deleted", org, category, record_id, at)

    def moved(self, org: str, category: str, record_id: str, *, to: str, at: When = None) -> None:
        """A record lies in another target from now on."""
        self._event("moved", org, category, record_id, at, target=to)

    def derived(
        self,
        org: str,
        category: str,
        record_id: str,
        *,
        parent: str,
        root: str = "",
        subjects: Sequence[str] = (),
        at: When = None,
        target: str = "",
    ) -> None:
        """A record was made from another; it goes when that goes. `root` is the first of the chain."""
        self._event("derived", org, category, record_id, at, subjects=subjects, parent=parent, root=root, target=target)

    def deactivated(self, org: str, category: str = "", record_id: str = "", *, at: When = None) -> None:
        """A record, or without a record id the whole org, was switched off: clock `deactivation` starts."""
        self._event("deactivated", org, category, record_id, at)

    def reactivated(self, org: str, category: str = "", record_id: str = "", *, at: When = None) -> None:
        """It is in use again: clock `deactivation` stops."""
        self._event("reactivated", org, category, record_id, at)

    def contract_end(self, org: str, at: datetime | int | None) -> None:
        """The org's contract ends at `at`; None: it has no end."""
        self._event("contract", org, "", "", at or 0)

    def named(self, org: str, name: str, *, category: str = "", record_id: str = "", at: When = None) -> None:
        """Event `name` happened: clock `named:<name>` starts, for a record or for the whole org."""
        self._event("named", org, category, record_id, at, name=name)

    def batch(
        self,
        kind: str,
        org: str,
        category: str,
        record_ids: Sequence[str],
        *,
        at: Sequence[datetime | int],
        subjects: Sequence[Sequence[str]] | None = None,
        parents: Sequence[str] = (),
        target: str = "",
        region: str = "",
    ) -> int:
        """Send many events of one kind at a fraction of their cost; a row each. Return the number of messages."""
        sent = 0
        for value in batches(
            kind,
            org,
            category,
            record_ids,
            [to_ms(t, kind) for t in at],
            subjects=subjects,
            parents=parents,
            target=target,
            region=region,
            producer=self._name,
        ):
            self.send(value)
            sent += 1
        return sent

    def send(self, value: LifecycleEvent | LifecycleBatch) -> None:
        """Send an event or a batch that was made before."""
        self._send(self._lifecycle, type(value).__name__, value.org, value.record())

    def flush(self) -> None:
        """Return when the brokers have everything. Raises PublishError, once for what failed since the last flush."""
        left = self._producer.flush(self._timeout_s)
        errors, self._errors = self._errors, []
        if left or errors:
            why = errors[0] if errors else f"no answer within {self._timeout_s:g} s"
            raise PublishError(
                f"{len(errors) + left} messages are not known to have arrived ({why}): publish them again once the "
                "cluster answers; what arrived twice is counted once"
            )

    def _event(
        self, kind: str, org: str, category: str, record_id: str, at: When, subjects: Sequence[str] = (), **texts: str
    ) -> None:
        self.send(
            LifecycleEvent(
                kind=kind,
                org=org,
                category=category,
                record_id=record_id,
                subject_ids=texts_of(kind, "subjects", subjects),
                occurred_at=_ms(at, kind),
                producer=self._name,
                **texts,
            )
        )

    def _send(self, topic: str, schema: str, org: str, record: dict[str, Any]) -> None:
        key = org.encode()
        value = self._codec.encode(schema, record)
        while True:
            try:
                self._producer.produce(
                    topic, value, key=key, partition=partition_of(key, self._counts[topic]), on_delivery=self._delivered
                )
            except BufferError:  # the local queue is full: let what is there go out first
                self._producer.poll(0.5)
            except KafkaException as error:
                raise PublishError(f"a message could not be sent: {error.args[0].str()}") from error
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if problem := problem_of(error, message):
            self._errors.append(problem)

    def _partitions(self) -> dict[str, int]:
        """Return the partition count of both topics; brokers take a moment to know of new ones."""
        end = time.monotonic() + min(self._timeout_s, _NEW_TOPIC_S)
        while True:
            try:
                there = self._producer.list_topics(timeout=self._timeout_s).topics
            except KafkaException as error:
                why = error.args[0].str()
                raise PublishError(f"the Kafka cluster did not answer ({why}): check its address") from error
            missing = [topic for topic in (self._lifecycle, self._orgs) if topic not in there]
            if not missing:
                return {topic: len(there[topic].partitions) for topic in (self._lifecycle, self._orgs)}
            if time.monotonic() > end:
                raise PublishError(f"the cluster has no topic {missing[0]!r}: start ebbtide first, or mend `prefix`")
            time.sleep(0.1)


def _ms(at: When, kind: str = "org") -> int:
    return time.time_ns() // 1_000_000 if at is None else to_ms(at, kind)


def _codec(registry: str | None) -> Codec:
    if not registry:
        return public_codec()
    ids = registry_ids(registry, {name: schema_text("ebbtide", name) for name in PUBLIC_IDS})
    return Codec({name: read_schema("ebbtide", name) for name in PUBLIC_IDS}, ids)
