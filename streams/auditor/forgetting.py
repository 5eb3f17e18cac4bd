"""An org's audit log is let go: whatever links it to the org, or its entries to anybody, is destroyed at once.

    intent `forgotten` ─▶ its entry, a last head ─▶ tombstones: the org's salt, all salts of its entries, certificates

All of it is one transaction of the auditor, which alone gives logs their names: so nothing can be added to the log in
between. Its leaves, heads and proofs stay as they are; the next intent of the org begins another log. Used by
`streams.auditor.run`; `tests/integration/test_audit.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import Message

from schemas.topics import Topics
from sinks.base import Write


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A log that is let go: its name, 32 bytes, and whose it was."""

    log: bytes
    org: str = field(repr=False)

    def concerns(self, topics: Topics, topic: str, key: bytes) -> bool:
        """Whether a record of our topics links the log to somebody."""
        if topic == topics.audit_salts:
            return key.startswith(self.log)
        return topic == topics.certificates and key.rpartition(b"/")[0] == self.org.encode()

    def tombstones(self, topics: Topics, topic: str, partition: int, records: Iterable[Message]) -> list[Write]:
        """Return what destroys those of the `records` of a topic that link the log to somebody."""
        live = {key: m.value() for m in records if self.concerns(topics, topic, key := m.key() or b"")}
        return [
            Write(topic=topic, partition=partition, key=key, value=None)
            for key, value in live.items()
            if value is not None
        ]
