"""One partition's audit logs between two commits: intents in, and what must be written with the offset that follows.

    restore(key, value)   each record of the partition of `audit-heads`, in order
    take(value, at)       an intent becomes an entry of its org's log
    close(next)           heads are signed; everything since the last `close`, as one transaction's records

State is what lies on `audit-heads`, and nothing else: a sequencer whose transaction failed is thrown away. A log's
state is believed only if our own signed head says the same. `tests/unit/streams/auditor/` says what it promises.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ebbtide.envelope import status_key
from ebbtide.wire import Codec
from schemas.errors import Reject
from schemas.topics import Topics
from sinks.base import Write
from streams.audit.certificate import KIND as CERTIFICATE
from streams.audit.certificate import seal_certificate
from streams.audit.copies import entry_of
from streams.audit.entries import DAY_MS, ORG, SALT_BYTES, BadLeaf, Opening
from streams.audit.intents import FORGOTTEN
from streams.audit.log import Added, OrgLog
from streams.audit.note import NoteKey, sign_note
from streams.auditor.forgetting import Forgotten

POSITION: Final = b"\0position"
"""The key on `audit-heads` under which a partition's position lies; no org's name begins with a zero byte."""
_OPEN_LOGS: Final = 10_000


class BadIntent(Reject):
    """A message that can never become an entry. The text holds nothing of what is sealed."""


@dataclass(slots=True)
class Closed:
    """What one transaction has to write. `kinds` counts entries by their kind."""

    writes: list[Write] = field(repr=False)
    kinds: Counter[str]
    heads: int
    forgotten: Sequence[Forgotten] = ()


class Sequencer:
    """The logs of one partition. `draw` gives the random salts."""

    def __init__(
        self,
        partition: int,
        topics: Topics,
        codec: Codec,
        key: NoteKey,
        seed: bytes,
        *,
        draw: Callable[[], bytes] = lambda: secrets.token_bytes(SALT_BYTES),
    ) -> None:
        self._partition, self._topics, self._codec = partition, topics, codec
        self._key, self._seed, self._draw = key, seed, draw
        self._kept: dict[bytes, bytes] = {}
        self._logs: dict[str, OrgLog] = {}
        self._writes: list[Write] = []
        self._touched: dict[str, None] = {}
        self._kinds: Counter[str] = Counter()
        self._heads = 0
        self._forgotten: list[Forgotten] = []
        self.next: int | None = None
        """The offset of the next intent, None before any."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take over one record of `audit-heads`."""
        if key == POSITION:
            self.next = None if value is None else self._codec.decode(value)[1]["next"]
        elif value is None:
            self._kept.pop(key, None)
        else:
            self._kept[key] = value

    def take(self, value: bytes, at: int) -> None:
        """Add an intent that the broker has since `at` (ms). Raises BadIntent: nothing was added; BadState, a Halt."""
        try:
            name, record = self._codec.decode(value)
            if name != "AuditIntent":
                raise BadIntent(f"it is a {name}, not an AuditIntent")
            if record["org"].startswith("\0"):
                raise BadIntent("it is of an org that cannot be: names have no control characters")
            log = self._log(record["org"])
            if log.org in self._touched and at // DAY_MS > log.day:
                self._head(log)  # of the day that ends within this transaction
            added = log.add(record, at, self._draw)
        except BadLeaf as error:
            raise BadIntent(str(error)) from None
        except ValueError as error:
            raise BadIntent(f"it cannot be read ({type(error).__name__})") from None
        for each in added:
            self._add(log, each)
        self._touched[log.org] = None
        if added[-1].leaf.kind == CERTIFICATE:
            self._certify(log, added[-1])
        if added[-1].leaf.kind == FORGOTTEN:
            self._forget(log)

    def close(self, following: int) -> Closed:
        """Sign heads, and return all that must be written with the position `following`."""
        for org in self._touched:
            self._head(self._logs[org])
        position = self._codec.encode("AuditPosition", {"next": following})
        self._write(self._topics.audit_heads, POSITION, position)
        closed = Closed(self._writes, self._kinds, self._heads, self._forgotten)
        self._writes, self._kinds, self._heads, self._touched, self.next = [], Counter(), 0, {}, following
        self._forgotten = []
        if len(self._logs) > _OPEN_LOGS:
            self._logs.clear()
        return closed

    def _log(self, org: str) -> OrgLog:
        log = self._logs.get(org)
        if log is None:
            kept = self._kept.get(org.encode())
            log = OrgLog(org, self._draw()) if kept is None else OrgLog.of(self._codec.decode(kept)[1], self._key)
            self._logs[org] = log
        return log

    def _add(self, log: OrgLog, added: Added) -> None:
        leaf, name = added.leaf, bytes.fromhex(log.log)
        place = {"log": name, "day": log.day, "index": leaf.index}
        entry = self._codec.encode("AuditEntry", {**place, "leaf": added.text})
        self._write(self._topics.audit, name, entry)
        self._kinds[leaf.kind] += 1
        if added.openings:
            values = [{"field": o.name, "place": o.place, "salt": o.salt, "value": o.value} for o in added.openings]
            opening = self._codec.encode("AuditOpening", {**place, "values": values})
            self._write(self._topics.audit_salts, salt_key(name, log.day, leaf.index), opening)

    def _certify(self, log: OrgLog, added: Added) -> None:
        """Make a certificate of an entry: it is the last one under a head that is signed right behind it."""
        self._head(log)
        del self._touched[log.org]
        evidence = {**entry_of(added.text, added.proof, added.openings), "head": log.note}
        request = next((o.value for o in added.openings if o.name == "request"), "")
        record = {
            "org": log.org,
            "request_id": request,
            "version": added.leaf.facts["job"]["version"],
            "issued_at": added.leaf.at,
            "body": seal_certificate(evidence, self._seed, org=Opening(ORG, 0, log.salt, log.org)),
        }
        key = status_key(log.org, request)
        self._write(self._topics.certificates, key, self._codec.encode("Certificate", record))

    def _forget(self, log: OrgLog) -> None:
        """End a log for good, and destroy what would tell whose it is; what was committed before, the caller does."""
        self._head(log)
        del self._touched[log.org]
        del self._logs[log.org]
        del self._kept[log.org.encode()]
        gone = Forgotten(bytes.fromhex(log.log), log.org)
        self._forgotten.append(gone)
        fresh = {(w.topic, w.key or b"") for w in self._writes if gone.concerns(self._topics, w.topic, w.key or b"")}
        for topic, key in (*sorted(fresh), (self._topics.audit_heads, log.org.encode())):
            self._write(topic, key, None)

    def _head(self, log: OrgLog) -> None:
        head = log.head()
        self._heads += 1
        log.note = sign_note(head, self._key.name, self._seed)
        record: dict[str, Any] = {"log": bytes.fromhex(log.log), "day": log.day, "size": head.size, "note": log.note}
        self._write(self._topics.audit, record["log"], self._codec.encode("AuditHead", record))
        kept = self._codec.encode("AuditLog", log.record())
        self._kept[log.org.encode()] = kept
        self._write(self._topics.audit_heads, log.org.encode(), kept)

    def _write(self, topic: str, key: bytes, value: bytes | None) -> None:
        self._writes.append(Write(topic=topic, partition=self._partition, key=key, value=value))


def salt_key(log: bytes, day: int, index: int) -> bytes:
    """Return the key of an entry's openings on `audit-salts`: log, day and index, big-endian."""
    return log + day.to_bytes(4, "big") + index.to_bytes(8, "big")
