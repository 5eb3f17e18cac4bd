"""What becomes of an archive is written down for the audit log, in the transaction that says it is done.

Used by `streams.exporter.run`; `tests/integration/exporter/test_exporter.py` reads the intents from their topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sinks.base import Write
from streams.audit.intents import intent
from streams.exporter.work import Work
from streams.runner.spec import RunnerSpec
from streams.runner.transaction import Transactions

_COUNTS: Final = ("parts", "records", "rows", "missing", "bytes")


def archived(body: Mapping[str, Any], error: str) -> dict[str, Any]:
    """Return the facts of an archive that is complete, or could not be made."""
    counts = body.get("counts", {})
    return {"made": not error, **{name: counts[name] for name in _COUNTS if name in counts}}


def expired(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an archive that was deleted; `left` is what its bucket's lock still keeps."""
    return {name: body[name] for name in ("versions", "uploads", "left") if name in body}


def audited(spec: RunnerSpec, transactions: Transactions, work: Work, kind: str, facts: Mapping[str, Any]) -> Write:
    """Return the intent of one effect. Raises KafkaAway."""
    topic, key = spec.topics.audit_intents, work.org.encode()
    value = spec.codec.encode("AuditIntent", intent(kind, work.org, facts, request=[work.request_id]))
    return Write(topic=topic, partition=transactions.partition_for(topic, key), key=key, value=value)
