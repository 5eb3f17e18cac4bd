"""Asks ebbtide for something: builds, signs and publishes the requests of one requester.

    with RequestPublisher("localhost:9092", key_id="portal", seed=seed, sealing_key=sealing_key) as requests:
        request_id = requests.ask("erase", "acme", {"regime": "ccpa"}, subjects=["u-4"])

Needs the package `cryptography` beside the Kafka client. What becomes of a request is on the compacted topic
`request-status` under `ebbtide.envelope.status_key`. Kinds and their bodies are in docs/requests.md. Proven by
`tests/unit/ebbtide/test_requests.py` and `tests/integration/test_requests.py`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ebbtide.envelope import (
    MAX_BODY_BYTES,
    MAX_LIFETIME_MS,
    MAX_REQUEST_BYTES,
    BadEnvelope,
    Values,
    is_id,
    seal_subjects,
    sign,
)
from ebbtide.partition import partition_of
from ebbtide.producing import problem_of
from ebbtide.registry import registry_ids, schema_text
from ebbtide.wire import PUBLIC_IDS, Codec, public_codec, read_schema

LIFETIME_S: Final = 3600.0
"""How long a request may take to reach the broker, unless said otherwise."""


class NotSent(RuntimeError):
    """A request is not known to have reached the brokers. Sending the same record again is safe."""


def make_request(
    kind: str,
    org: str,
    body: Mapping[str, Any] | None = None,
    *,
    key_id: str,
    seed: bytes,
    sealing_key: bytes = b"",
    subjects: Sequence[str] = (),
    values: Values | None = None,
    request_id: str = "",
    requested_by: str = "",
    requested_at: int | None = None,
    lifetime_s: float = LIFETIME_S,
) -> dict[str, Any]:
    """Return a signed `Request` record, sealed where it names subjects; `values` are what a `rectify` sets.

    `seed` is the requester's Ed25519 private key, `sealing_key` the engine's public X25519 key (32 bytes each);
    `request_id` empty: a new one; `requested_at` in ms since the epoch, None: now. What the kind demands of its body
    is checked by the engine. Raises BadEnvelope for what no engine takes.
    """
    chosen = request_id or str(uuid.uuid4())
    if not is_id(chosen):
        raise BadEnvelope("request_id: write 1 to 128 letters, digits, '.', '_', ':' and '-'")
    text = json.dumps(dict(body or {}), ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > MAX_BODY_BYTES:
        raise BadEnvelope(f"body: has more than {MAX_BODY_BYTES} bytes")
    lifetime_ms = int(lifetime_s * 1000)
    if not 0 < lifetime_ms <= MAX_LIFETIME_MS:
        raise BadEnvelope(f"lifetime_s: must be above 0 and at most {MAX_LIFETIME_MS // 1000}")
    named = bool(subjects) or values is not None
    at = time.time_ns() // 1_000_000 if requested_at is None else requested_at
    record = {
        "request_id": chosen,
        "org": org,
        "kind": kind,
        "body": text,
        "sealed": seal_subjects(subjects, sealing_key, org=org, request_id=chosen, values=values) if named else b"",
        "requested_by": requested_by,
        "requested_at": at,
        "expires_at": at + lifetime_ms,
        "key_id": key_id,
    }
    return sign(record, seed)


class RequestPublisher:
    """Sends the requests of one requester and waits until the brokers have each. Safe to share among threads.

    `registry` is a schema registry's address, `config` are more librdkafka settings, such as TLS and SASL.
    Raises NotSent if the cluster does not answer within `timeout_s` or has no ebbtide topics;
    ebbtide.registry.RegistryError.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        key_id: str,
        seed: bytes,
        sealing_key: bytes = b"",
        prefix: str = "ebbtide",
        registry: str | None = None,
        config: Mapping[str, Any] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._key_id, self._seed, self._sealing_key = key_id, seed, sealing_key
        self._topic, self._timeout_s = f"{prefix}.requests", timeout_s
        self._codec = _codec(registry)
        settings = {
            "bootstrap.servers": bootstrap,
            "message.max.bytes": MAX_REQUEST_BYTES + 100_000,
            **(config or {}),
            "enable.idempotence": True,
        }
        try:
            self._producer = Producer(settings)
            self._count = self._partitions()
        except KafkaException as error:
            raise NotSent(f"the Kafka cluster did not answer ({error.args[0].str()}): check its address") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.flush(self._timeout_s)

    def ask(
        self,
        kind: str,
        org: str,
        body: Mapping[str, Any] | None = None,
        *,
        subjects: Sequence[str] = (),
        values: Values | None = None,
        request_id: str = "",
        requested_by: str = "",
        lifetime_s: float = LIFETIME_S,
    ) -> str:
        """Build, sign and send a request; return its id. Raises BadEnvelope, NotSent."""
        record = make_request(
            kind,
            org,
            body,
            key_id=self._key_id,
            seed=self._seed,
            sealing_key=self._sealing_key,
            subjects=subjects,
            values=values,
            request_id=request_id,
            requested_by=requested_by,
            lifetime_s=lifetime_s,
        )
        self.send(record)
        return str(record["request_id"])

    def send(self, record: Mapping[str, Any]) -> None:
        """Send a record that `make_request` made, and return once the brokers have it. Raises NotSent."""
        key, errors = record["org"].encode(), [_NO_ANSWER]

        def delivered(error: KafkaError | None, message: Message) -> None:
            errors[0] = problem_of(error, message)

        try:
            self._producer.produce(
                self._topic,
                self._codec.encode("Request", record),
                key=key,
                partition=partition_of(key, self._count),
                on_delivery=delivered,
            )
        except KafkaException as error:
            raise NotSent(f"request {record['request_id']} could not be sent: {error.args[0].str()}") from error
        self._producer.flush(self._timeout_s)
        if errors[0]:
            raise NotSent(f"request {record['request_id']} is not known to have arrived ({errors[0]}): send it again")

    def _partitions(self) -> int:
        end = time.monotonic() + min(self._timeout_s, 5.0)  # brokers take a moment to know of new topics
        while True:
            topics = self._producer.list_topics(timeout=self._timeout_s).topics
            if self._topic in topics:
                return len(topics[self._topic].partitions)
            if time.monotonic() > end:
                raise NotSent(f"the cluster has no topic {self._topic!r}: start ebbtide first, or mend `prefix`")
            time.sleep(0.1)


_NO_ANSWER: Final = "no answer in time"


def _codec(registry: str | None) -> Codec:
    if not registry:
        return public_codec()
    ids = registry_ids(registry, {name: schema_text("ebbtide", name) for name in PUBLIC_IDS})
    return Codec({name: read_schema("ebbtide", name) for name in PUBLIC_IDS}, ids)
