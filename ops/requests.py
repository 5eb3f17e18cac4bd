"""Asks the engine for something over the `requests` topic, and waits for the answer on `request-status`.

The one door for changes: the command line writes the same records as any producer may. Used by `ops.cli.policy`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition

from ebbtide.partition import partition_of
from ebbtide.wire import Codec
from schemas.errors import Refused, Retry
from schemas.topics import Topics


class RequestRefused(Refused):
    """The coordinator refused the request; the text is its reason."""


class NoAnswer(Retry):
    """No coordinator answered in time. The request stands and may still be carried out."""


@dataclass(frozen=True, slots=True)
class RequestDoor:
    """Where requests go in."""

    bootstrap: str
    topics: Topics
    codec: Codec

    def set_policy(self, org: str, settings: Sequence[Mapping[str, str]], *, limit_s: float = 60.0) -> None:
        """Change an org's retention and wait until it is in force in the coordinator.

        Raises RequestRefused with the reason, NoAnswer after `limit_s` seconds.
        """
        request_id = str(uuid.uuid4())
        record = {
            "request_id": request_id,
            "org": org,
            "settings": [dict(s) for s in settings],
            "requested_at": time.time_ns() // 1_000_000,
            "requested_by": "cli",
        }
        self._ask(org, request_id, self.codec.encode("PolicyRequest", record), limit_s)

    def _ask(self, org: str, request_id: str, value: bytes, limit_s: float) -> None:
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": f"cli-{request_id}", "enable.auto.commit": False}
        )
        try:
            count = len(consumer.list_topics(self.topics.requests, timeout=30).topics[self.topics.requests].partitions)
            place = TopicPartition(self.topics.request_status, partition_of(request_id.encode(), count))
            place.offset = consumer.get_watermark_offsets(place, timeout=30)[1]
            consumer.assign([place])
            producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
            key = org.encode()
            producer.produce(self.topics.requests, value, key=key, partition=partition_of(key, count))
            if producer.flush(limit_s):
                raise NoAnswer("the broker took no request; is it up?")
            self._await(consumer, request_id, limit_s)
        finally:
            consumer.close()

    def _await(self, consumer: Consumer, request_id: str, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            message = consumer.poll(0.5)
            if message is None or message.error() or message.key() != request_id.encode():
                continue
            status = self.codec.decode(message.value() or b"")[1]
            if status["state"] == "refused":
                raise RequestRefused(f"refused: {status['reason']}")
            if status["state"] == "done":
                return
        raise NoAnswer(f"no coordinator answered within {limit_s:g} s: is `ebbtide run coordinator` up?")
