"""What a gateway is told: values, read from nowhere else. Made by `ops`, used by all of `streams.gateway`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.rules import Rules
from schemas.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in ms. `pack_*` bound one transaction, and so the memory; `entry_bytes` what it makes for
    one partition, which may become a third more and is one ledger entry (8 MiB): `streams.gateway.fitting`."""

    single_bytes: int = 256 << 10
    batch_bytes: int = 4 << 20
    skew_ms: int = 86_400_000
    pack_messages: int = 131_072
    pack_input_bytes: int = 16 << 20
    pack_output_bytes: int = 16 << 20
    entry_bytes: int = 6 << 20
    linger_ms: int = 100
    backlog_linger_ms: int = 1_000
    watermark_ms: int = 500
    min_segment: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    """One gateway process.

    `sources` are the topics it reads, `partitions` the ledger's count; `slot` names its transactional id and must be
    its own among those that run. `client` is given to every Kafka client (security settings and the like). `ids` are
    the registry's schema ids, None for the fixed ones. `subject_key` is the master of `schemas.subjects`,
    `dead_letter_key` 32 bytes for AES-256-GCM.
    """

    bootstrap: str
    topics: Topics
    partitions: int
    rules: Rules
    subject_key: bytes = field(repr=False)
    dead_letter_key: bytes = field(repr=False)
    slot: str = "0"
    sources: tuple[str, ...] = ()
    producers: frozenset[str] = frozenset()
    client: Mapping[str, str | int] = field(default_factory=dict, repr=False)
    ids: Mapping[str, int] | None = None
    subject_key_version: int = 1
    limits: Limits = field(default_factory=Limits)

    @property
    def writer(self) -> str:
        """Its name in the headers of ledger entries."""
        return f"gateway-{self.slot}"

    @property
    def read_topics(self) -> tuple[str, ...]:
        """The topics it reads: the lifecycle topic where none is named."""
        return self.sources or (self.topics.lifecycle,)


class GatewayHooks(Protocol):
    """What a gateway tells its metrics. Labels come from closed sets: `producer` is a known one or "other"."""

    def ready(self) -> None: ...

    def events(self, producer: str, kind: str, count: int) -> None: ...

    def dead_letters(self, reason: str, producer: str, count: int) -> None: ...

    def frames(self, count: int, size: int) -> None: ...

    def pack_seconds(self, seconds: float) -> None: ...

    def watermark(self, through_ms: int) -> None: ...


class NoHooks:
    """Hooks that count nothing."""

    def ready(self) -> None:
        """Say nothing."""

    def events(self, producer: str, kind: str, count: int) -> None:
        """Count nothing."""

    def dead_letters(self, reason: str, producer: str, count: int) -> None:
        """Count nothing."""

    def frames(self, count: int, size: int) -> None:
        """Count nothing."""

    def pack_seconds(self, seconds: float) -> None:
        """Count nothing."""

    def watermark(self, through_ms: int) -> None:
        """Count nothing."""
