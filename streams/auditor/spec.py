"""Everything the auditor is told, as values. Made by the role that starts it (`ops`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebbtide.envelope import public_key_of
from streams.audit.log import head_key
from streams.audit.note import NoteKey
from streams.runner.spec import RunnerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorSpec:
    """One auditor. `kafka` holds what its Kafka clients need, `seed` the Ed25519 seed (32 bytes) that signs heads.

    intents: how many become entries in one transaction at most.
    wait_s: how long the first of them may wait for others. Seconds.
    """

    kafka: RunnerSpec
    seed: bytes = field(repr=False)
    intents: int = 2000
    wait_s: float = 0.1

    @property
    def key(self) -> NoteKey:
        """What its heads are checked with."""
        return head_key(public_key_of(self.seed))

    @property
    def group(self) -> str:
        """The consumer group of the intents."""
        return f"{self.kafka.topics.prefix}-auditor"

    def consumer_config(self) -> dict[str, str | int | bool]:
        """Return the options of the consumer of intents: it starts only where it is told."""
        return {**self.kafka.consumer_config(self.group), "enable.partition.eof": True}
