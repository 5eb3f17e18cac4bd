"""Everything a projector is told, as values, and what it tells. Made by the role that starts it (`ops.roles`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ebbtide.wire import Codec
from schemas.codec import full_codec
from schemas.fetching import BULK
from schemas.seal import Seal
from schemas.topics import MAX_MESSAGE_BYTES, Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorLimits:
    """How much goes into one transaction, and how long to wait. Times in seconds."""

    records: int = 1000
    wait_s: float = 0.5
    backoff_first_s: float = 0.2
    backoff_most_s: float = 10.0
    reserve_s: float = 1.0
    """How often one in reserve asks whether the working one is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorSpec:
    """One projector. `dsn` may hold a password; `seal` closes the payloads of dead letters."""

    bootstrap: str
    topics: Topics
    dsn: str = field(repr=False)
    seal: Seal = field(repr=False)
    limits: ProjectorLimits = ProjectorLimits()
    codec: Codec = field(default_factory=full_codec, repr=False)

    def consumer_config(self) -> dict[str, str | int | bool]:
        """Return the options of a consumer that starts only where it is told and reads committed records only."""
        return {
            "bootstrap.servers": self.bootstrap,
            "group.id": f"{self.topics.prefix}-projector",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": 32 << 10,
            "max.partition.fetch.bytes": MAX_MESSAGE_BYTES,
            # An end is told only by a fetch that found nothing, and who has written waits until we are past it.
            **BULK,
        }

    def producer_config(self) -> dict[str, str | int | bool]:
        """Return the options of the producer of dead letters."""
        return {
            "bootstrap.servers": self.bootstrap,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "delivery.timeout.ms": 30_000,
        }


class ProjectorHooks(Protocol):
    """Callbacks for metrics; none may block or raise. `topic` is a name of `streams.projector.fold.SOURCES`."""

    def on_works(self, working: bool) -> None:
        """It writes now, or is in reserve; it is ready either way."""
        ...

    def on_records(self, topic: str, count: int, newest_ms: int) -> None:
        """Records are in the tables; `newest_ms` is the broker's time of the newest."""
        ...

    def on_write(self, seconds: float, stale: int) -> None:
        """A transaction is committed; `stale` of its records were older than their rows."""
        ...

    def on_dead_letter(self, topic: str, reason: str) -> None:
        """A record went to the dead letters."""
        ...

    def on_unavailable(self) -> None:
        """PostgreSQL or Kafka did not answer; it tries again."""
        ...


class NoHooks:
    """Nobody listens."""

    def on_works(self, working: bool) -> None: ...

    def on_records(self, topic: str, count: int, newest_ms: int) -> None: ...

    def on_write(self, seconds: float, stale: int) -> None: ...

    def on_dead_letter(self, topic: str, reason: str) -> None: ...

    def on_unavailable(self) -> None: ...
