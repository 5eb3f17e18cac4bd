"""Asks the engine for something over the `requests` topic, and waits for what becomes of it on `request-status`.

The one door for changes: the command line and the HTTP API write the same signed records as any producer may, as the
requester `installation`. Proven by `tests/integration/test_requests.py`.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ebbtide.envelope import BadEnvelope, Values, public_key_of, status_key
from ebbtide.partition import partition_of
from ebbtide.requests import NotSent, RequestPublisher, make_request
from ebbtide.wire import Codec
from ops.installation import own_signing_key
from ops.rules_topic import rules_in_force
from ops.settings import Settings
from schemas.codec import registered_codec
from schemas.errors import Refused, Retry
from schemas.jobs import ENDED, State
from schemas.keys import INSTALLATION
from schemas.topics import Topics

Status = dict[str, Any]
"""A decoded `RequestStatus`."""


class RequestRefused(Refused):
    """The request was refused; `status` says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"refused: {status['reason']}: {status['text']}")
        self.status = status


class BadRequest(Refused):
    """What was asked for cannot even be put into a request."""


class NoAnswer(Retry):
    """No coordinator answered in time. The request stands and may still be carried out."""


class NotDone(Retry):
    """The job has not come to its end in the time given; it goes on by itself. `status` is its newest state."""

    def __init__(self, status: Status, limit_s: float) -> None:
        super().__init__(
            f"job {status['request_id']} is {status['state']} after {limit_s:g} s, and goes on: `ebbtide jobs watch "
            f"{status['org']} {status['request_id']}`"
        )
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDoor:
    """Where requests go in. `signing_key` is the installation's Ed25519 seed, 32 bytes."""

    bootstrap: str
    topics: Topics
    codec: Codec
    registry_url: str = ""
    signing_key: bytes = field(repr=False)

    @classmethod
    def of(cls, settings: Settings, *, to_read: bool = False) -> Self:
        """Make it from settings; the key of the installation in the data directory does where none is set.

        Who only wants `to_read` needs none. Raises BadSetting where there is no key.
        """
        return cls(
            bootstrap=settings.kafka_bootstrap,
            topics=Topics(settings.prefix),
            codec=registered_codec(settings.registry_url),
            registry_url=settings.registry_url,
            signing_key=b"" if to_read else with_signing_key(settings).key("signing_key"),
        )

    def ask(
        self,
        kind: str,
        org: str,
        body: Mapping[str, Any] | None = None,
        *,
        subjects: Sequence[str] = (),
        values: Values | None = None,
        request_id: str = "",
        requested_by: str = "cli",
        limit_s: float = 60.0,
        seen: Callable[[Status], None] = lambda _: None,
    ) -> Status:
        """Send a request and return the state in which it has ended; `seen` gets each state on the way.

        Raises RequestRefused with the reason; BadRequest; NotDone or, if nobody has answered at all, NoAnswer after
        `limit_s` seconds.
        """
        chosen = request_id or str(uuid.uuid4())
        with _Reader(self, org, from_the_end=True) as reader:
            self.send(kind, org, body, subjects=subjects, values=values, request_id=chosen, requested_by=requested_by)
            return _follow(reader.states(chosen, limit_s), chosen, limit_s, seen)

    def watch(
        self, org: str, request_id: str, *, limit_s: float, seen: Callable[[Status], None] = lambda _: None
    ) -> Status:
        """Follow a job that was asked for before, as `ask` does. Raises RequestRefused, NotDone, NoAnswer."""
        with _Reader(self, org, from_the_end=False) as reader:
            return _follow(reader.states(request_id, limit_s), request_id, limit_s, seen)

    def send(
        self,
        kind: str,
        org: str,
        body: Mapping[str, Any] | None = None,
        *,
        subjects: Sequence[str] = (),
        values: Values | None = None,
        request_id: str = "",
        requested_by: str = "cli",
        requested_at: int | None = None,
    ) -> str:
        """Send a request and return its id once the brokers have it.

        Raises BadRequest, NoAnswer, NoRules, RulesNotSigned.
        """
        try:
            record = make_request(
                kind,
                org,
                body,
                key_id=INSTALLATION,
                seed=self.signing_key,
                sealing_key=self._sealing_key() if subjects else b"",
                subjects=subjects,
                values=values,
                request_id=request_id,
                requested_by=requested_by,
                requested_at=requested_at,
            )
        except BadEnvelope as e:
            raise BadRequest(str(e)) from None
        try:
            with RequestPublisher(
                self.bootstrap,
                key_id=INSTALLATION,
                seed=self.signing_key,
                prefix=self.topics.prefix,
                registry=self.registry_url,
            ) as publisher:
                publisher.send(record)
        except NotSent as e:
            raise NoAnswer(str(e)) from None
        return str(record["request_id"])

    def _sealing_key(self) -> bytes:
        """Return the key that ids are sealed with. Raises NoRules; RulesNotSigned: it would be a stranger's."""
        own = public_key_of(self.signing_key)
        return bytes.fromhex(rules_in_force(self.bootstrap, self.topics, self.codec, signed_by=own).sealing_key)


class _Reader:
    """Reads the states of one org's requests from its partition of `request-status`."""

    def __init__(self, door: RequestDoor, org: str, *, from_the_end: bool) -> None:
        self._door, self._org = door, org
        self._consumer = Consumer(
            {
                "bootstrap.servers": door.bootstrap,
                "group.id": f"{door.topics.prefix}-status-readers",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        try:
            topic = door.topics.request_status
            known = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
            if not known:
                raise NoAnswer(f"the cluster has no topic {topic!r}: start ebbtide first")
            place = TopicPartition(topic, partition_of(org.encode(), len(known)), 0)
            if from_the_end:
                place.offset = self._consumer.get_watermark_offsets(place, timeout=30)[1]
            self._consumer.assign([place])
        except KafkaException as e:
            self._consumer.close()
            raise NoAnswer(f"the brokers do not answer ({e.args[0].str()}): are they up?") from e
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def states(self, request_id: str, limit_s: float) -> Iterator[Status]:
        key, end = status_key(self._org, request_id), time.monotonic() + limit_s
        while time.monotonic() < end:
            message = self._consumer.poll(0.2)
            value = None if message is None or message.error() or message.key() != key else message.value()
            if value is not None:
                yield self._door.codec.decode(value)[1]


def _follow(states: Iterator[Status], request_id: str, limit_s: float, seen: Callable[[Status], None]) -> Status:
    newest: Status | None = None
    for status in states:
        newest = status
        seen(status)
        if status["state"] == State.REFUSED:
            raise RequestRefused(status)
        if status["state"] in ENDED:
            return status
    if newest is not None:
        raise NotDone(newest, limit_s)
    raise NoAnswer(
        f"nobody has answered request {request_id} within {limit_s:g} s: is `ebbtide run coordinator` up? If it was "
        "sent, it stands"
    )


def with_signing_key(settings: Settings) -> Settings:
    """Return settings that have a signing key if the data directory's installation has one."""
    if settings.signing_key:
        return settings
    return dataclasses.replace(settings, signing_key=own_signing_key(settings.data_dir))
