"""Calls that acted or were refused are told to the audit log, and the brokers have that before the caller is answered.

    acted     every POST and PUT, and each file that is handed out
    refused   every answer of 400 to 499

A read that is answered, or that failed by our fault, is neither. The API has no lane, so it has a producer of its own;
the request behind a call has its entry from the coordinator besides. Used by `ops.api.edge` and `ops.api.job_routes`;
`tests/integration/api/test_calls.py` says what it promises.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ebbtide.partition import partition_of
from ebbtide.producing import problem_of
from ebbtide.wire import Codec
from schemas.errors import Retry
from schemas.topics import Topics
from streams.audit.intents import INSTALLATION, intent

WRITTEN_S: Final = 10.0
READS: Final = ("GET", "HEAD")


class NotWritten(Retry):
    """What happened is not known to be in the audit log."""


def is_told(method: str, status: int) -> bool:
    """Whether a call is one that acted or was refused."""
    return 400 <= status < 500 or method not in READS


@dataclass(slots=True)
class CallLog:
    """The API's producer of intents. Connected at the first one; used from one event loop."""

    bootstrap: str
    topics: Topics
    partitions: int
    codec: Codec = field(repr=False)
    _producer: Producer | None = None
    _polling: threading.Thread | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    async def call(self, facts: Mapping[str, Any], *, org: str | None, principal: str, job: str) -> None:
        """Tell of a call; `org` None: nobody was let in to one. Raises NotWritten."""
        await self._write("call", INSTALLATION if org is None else org, facts, principal=[principal], request=[job])

    async def hand_out(self, org: str, principal: str, job: str, number: int) -> None:
        """Tell of a file that is about to be handed out. Raises NotWritten: it must not be."""
        await self._write("hand_out", org, {"file": number}, principal=[principal], request=[job])

    async def _write(self, kind: str, org: str, facts: Mapping[str, Any], **sealed: Iterable[str]) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Future[str]()

        def delivered(error: KafkaError | None, message: Message) -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                problem = str(error.name()) if error is not None else problem_of(error, message)
                loop.call_soon_threadsafe(_settle, done, problem)

        key = org.encode()
        value = self.codec.encode("AuditIntent", intent(kind, org, facts, **sealed))
        place = partition_of(key, self.partitions)
        try:
            self._connected().produce(self.topics.audit_intents, value, key, place, on_delivery=delivered)
            problem = await asyncio.wait_for(done, WRITTEN_S)
        except (KafkaException, BufferError, TimeoutError) as error:
            raise NotWritten(f"the audit log was not told ({type(error).__name__})") from None
        if problem:
            raise NotWritten(f"the audit log was not told ({problem})")

    def _connected(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "enable.idempotence": True,
                    "linger.ms": 2,
                    "delivery.timeout.ms": int(WRITTEN_S * 1000),
                }
            )
            self._polling = threading.Thread(target=self._poll, args=(self._producer,), name="calls", daemon=True)
            self._polling.start()
        return self._producer

    def _poll(self, producer: Producer) -> None:
        while not self._ended.is_set():
            producer.poll(0.2)

    def close(self) -> None:
        """Let go of the brokers."""
        self._ended.set()
        if self._producer is not None:
            self._producer.flush(2)


def _settle(done: asyncio.Future[str], problem: str) -> None:
    if not done.done():
        done.set_result(problem)
