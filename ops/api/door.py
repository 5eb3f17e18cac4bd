"""Where a write goes out: a signed `Request` on the topic, and a wait until its job can be read.

    publish ─▶ brokers have it ─▶ the job's state is in the read model ─▶ and so is what was written with it

Never decides anything: the coordinator does. Used by `ops.api.asking`; `tests/integration/api/test_api.py` reads the
records from the topic and checks their signatures.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ebbtide.envelope import BadEnvelope, Values
from ebbtide.partition import partition_of
from ebbtide.requests import LIFETIME_S, NotSent, RequestPublisher, make_request
from ops.api.identity import Identities
from ops.api.problems import Problem, invalid, refused
from ops.api.reads import Reader, Row
from ops.bulk import Chunk
from ops.metrics import Metrics
from schemas.jobs import State
from schemas.keys import API
from schemas.offsets import partition_ends
from schemas.topics import Topics

SEND_S: Final = 10.0
_LOOK_S: Final = (0.02, 0.05, 0.1, 0.2)
_PRINTABLE: Final = range(0x20, 0x7F)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What a call asks for. `body`, `subjects` and `values` go into the request, `call` is what an Idempotency-Key
    compares."""

    kind: str
    org: str
    requested_by: str
    body: Mapping[str, Any]
    subjects: Sequence[str] = field(default=(), repr=False)
    values: Values | None = field(default=None, repr=False)
    key: str | None = None
    call: tuple[str, str, Any] = field(default=("", "", None), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write came to. `job` None: no state of it is known yet; `seen`: reads show all that it did so far."""

    request_id: str
    job: Row | None
    seen: bool


class Sender:
    """The API's producer of requests, connected at the first one; safe to share among threads."""

    def __init__(self, bootstrap: str, topics: Topics, *, signing_key: bytes, registry_url: str) -> None:
        self._bootstrap, self._topics = bootstrap, topics
        self._signing_key, self._registry_url = signing_key, registry_url
        self._lock = threading.Lock()
        self._publisher: RequestPublisher | None = None
        self._admin: AdminClient | None = None

    def send(self, write: Write, *, request_id: str, requested_at: int, sealing_key: bytes) -> None:
        """Return once the brokers have the request. Raises NotSent, BadEnvelope."""
        record = make_request(
            write.kind,
            write.org,
            write.body,
            key_id=API,
            seed=self._signing_key,
            sealing_key=sealing_key,
            subjects=write.subjects,
            values=write.values,
            request_id=request_id,
            requested_by=write.requested_by,
            requested_at=requested_at,
        )
        self._connected().send(record)

    def ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """Return where each topic's partition ends, what is not committed yet included. Raises KafkaException."""
        with self._lock:
            if self._admin is None:
                self._admin = AdminClient({"bootstrap.servers": self._bootstrap})
        found = partition_ends(self._admin, ((topic, partition) for topic in topics), SEND_S)
        return {topic: end for (topic, _), end in found.items()}

    def _connected(self) -> RequestPublisher:
        with self._lock:
            if self._publisher is None:
                self._publisher = RequestPublisher(
                    self._bootstrap,
                    key_id=API,
                    seed=self._signing_key,
                    prefix=self._topics.prefix,
                    registry=self._registry_url or None,
                    timeout_s=SEND_S,
                )
            return self._publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Takes writes. `sealing_key` gives the engine's public key of the moment, 32 bytes."""

    sender: Sender
    reader: Reader
    identities: Identities
    topics: Topics
    partitions: int
    wait_s: float
    sealing_key: Callable[[], bytes]
    metrics: Metrics

    async def write(self, asked: Write, *, until: Callable[[Row], bool] | None = None) -> Written:
        """Send a request and wait for its job: for any state, or for the one that `until` is true for.

        Raises Problem: `refused`, `stale` where the coordinator refused in time; `key-reused`; `unavailable`;
        `invalid` for a key that is none.
        """
        deadline = time.monotonic() + self.wait_s
        request_id, requested_at, is_new = await self._identity(asked)
        job = None if is_new else await self._job(asked.org, request_id, deadline, _any_state)
        if job is None:
            await self._send(asked, request_id, requested_at)
            deadline = time.monotonic() + self.wait_s
        job = await self._job(asked.org, request_id, deadline, until or _any_state)
        if job is None:
            self.metrics.add("ebbtide_api_not_seen_total")
            return Written(request_id=request_id, job=None, seen=False)
        if job["state"] == State.REFUSED:
            raise refused(job)
        seen = await self._is_seen(asked.org, deadline)
        return Written(request_id=request_id, job=job, seen=seen)

    async def write_all(self, asked: Write, split: Callable[[str], Sequence[Chunk]]) -> list[tuple[Chunk, Row | None]]:
        """Send the requests that `split` makes of a base for their ids, and wait until the last one has a state.

        One that is known already is not sent again. Raises Problem: `unavailable` with how many are sent, `key-reused`,
        `invalid` for a key that is none.
        """
        base, requested_at, is_new = await self._identity(asked)
        chunks = split(base)
        for sent, chunk in enumerate(chunks):
            if is_new or await self.reader.job(asked.org, chunk.request_id) is None:
                try:
                    await self._send(replace(asked, subjects=chunk.people), chunk.request_id, requested_at)
                except Problem as problem:
                    problem.detail += f" {sent} of {len(chunks)} requests are sent, and stand."
                    raise
        await self._job(asked.org, chunks[-1].request_id, time.monotonic() + self.wait_s, _any_state)
        return [(chunk, await self.reader.job(asked.org, chunk.request_id)) for chunk in chunks]

    async def _identity(self, asked: Write) -> tuple[str, int, bool]:
        """Return the request's id, when it was first asked for, and whether that is now."""
        now = time.time_ns() // 1_000_000
        if asked.key is None:
            return str(uuid.uuid4()), now, True
        if not 0 < len(asked.key) <= 255 or any(ord(letter) not in _PRINTABLE for letter in asked.key):
            raise invalid(("#Idempotency-Key", "write 1 to 255 printable characters"))
        request_id = self.identities.request_id(asked.org, asked.requested_by, asked.key)
        fingerprint = self.identities.fingerprint(*asked.call)
        first, is_new = await self.reader.remember(asked.org, request_id, fingerprint, now)
        is_forgotten = is_new and await self.reader.job(asked.org, request_id) is not None
        if is_forgotten or bytes(first["fingerprint"]) != fingerprint:
            raise Problem("key-reused")
        # The same bytes again while they would be taken: then a repeat on the topic is seen to be one.
        is_young = now - first["requested_at"] < LIFETIME_S * 500
        return request_id, first["requested_at"] if is_young else now, is_new

    async def _send(self, asked: Write, request_id: str, requested_at: int) -> None:
        sealing_key = self.sealing_key() if asked.subjects else b""
        try:
            await asyncio.to_thread(
                self.sender.send, asked, request_id=request_id, requested_at=requested_at, sealing_key=sealing_key
            )
        except (NotSent, KafkaException):
            raise _away("The request is not known to have arrived.") from None
        except BadEnvelope as error:
            raise invalid(("", str(error))) from None
        self.metrics.add("ebbtide_api_requests_total", 1, asked.kind)

    async def _job(self, org: str, request_id: str, deadline: float, until: Callable[[Row], bool]) -> Row | None:
        """Return the job once `until` is true of it; at the deadline as it is then, None where there is none."""

        async def look() -> Row | None:
            return await self.reader.job(org, request_id)

        def enough(job: Row | None) -> bool:
            return job is not None and (job["state"] == State.REFUSED or until(job))

        return await _poll(look, enough, deadline)

    async def _is_seen(self, org: str, deadline: float) -> bool:
        """Wait until the projector has passed what is on the org's partition now; return whether it has."""
        partition = partition_of(org.encode(), self.partitions)
        topics = [self.topics.policies, self.topics.holds, self.topics.request_status]
        try:
            ends = await asyncio.to_thread(self.sender.ends, topics, partition)
        except KafkaException:
            return False

        async def look() -> bool:
            positions = await self.reader.positions(topics, partition)
            return all(positions.get(topic, 0) >= end for topic, end in ends.items())

        return await _poll(look, bool, deadline)


async def _poll(look: Callable[[], Awaitable[T]], enough: Callable[[T], bool], deadline: float) -> T:
    """Look again and again, ever less often, until it is enough or the deadline has passed; return the last look."""
    turn = 0
    while True:
        found = await look()
        if enough(found) or time.monotonic() >= deadline:
            return found
        await asyncio.sleep(_LOOK_S[min(turn, len(_LOOK_S) - 1)])
        turn += 1


def _any_state(job: Row) -> bool:
    return bool(job["state"] != State.REQUESTED)


def _away(detail: str) -> Problem:
    return Problem("unavailable", detail=detail, headers={"Retry-After": "5"})
