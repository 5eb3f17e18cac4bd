"""Lifecycle events and rules for tests of the gateway."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from ebbtide.wire import Codec
from schemas.policy import Setting
from schemas.ragged import padded, starts_of
from schemas.rules import CategoryRules, Rules
from schemas.subjects import SubjectKeys
from streams.gateway.events import Messages, Slices
from streams.gateway.pack import Packer
from streams.gateway.routing import Routes

NOW = 1_700_000_000_000
MASTER = bytes(range(32))
PARTITIONS = 4


def setting(category: str) -> Setting:
    """A setting that says nothing."""
    return Setting(**{f.name: "" for f in fields(Setting) if f.name != "category"}, category=category)


RULES = Rules(
    version=1,
    categories={
        "messages": CategoryRules(name="messages", targets=("crm", "feed"), default=setting("messages")),
        "logs": CategoryRules(name="logs", targets=("crm",), default=setting("logs")),
        "all": CategoryRules(name="all", default=setting("all")),
    },
    aliases={"chats": "messages"},
)


def event(**fields_: Any) -> dict[str, Any]:
    """A good `created` event, with `fields_` in the place of its own."""
    base = {
        "kind": "created",
        "org": "acme",
        "category": "messages",
        "record_id": str(uuid.UUID(int=1)),
        "subject_ids": ["u1"],
        "occurred_at": NOW,
        "target": "",
        "parent": "",
        "root": "",
        "region": "",
        "name": "",
        "producer": "test",
    }
    return {**base, **fields_}


def batch(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The batch of events that share all but their rows."""
    first = events[0]
    derived = first["kind"] == "derived"
    return {
        **{f: first[f] for f in ("kind", "org", "category", "target", "region", "name", "producer")},
        "record_ids": [e["record_id"] for e in events],
        "occurred_at": [e["occurred_at"] for e in events],
        "subject_counts": [len(e["subject_ids"]) for e in events],
        "subject_ids": [s for e in events for s in e["subject_ids"]],
        "parents": [e["parent"] for e in events] if derived else [],
        "roots": [e["root"] for e in events] if derived else [],
    }


def as_messages(rows: Sequence[tuple[bytes, bytes]]) -> Messages:
    """Messages of (key, value) from one source partition, offsets 0, 1, 2, …"""

    def joined(texts: list[bytes]) -> tuple[Any, Slices]:
        lengths = np.array([len(t) for t in texts], np.int64)
        return padded(b"".join(texts)), Slices(starts_of(lengths), lengths)

    keys, key = joined([k for k, _ in rows])
    buffer, value = joined([v for _, v in rows])
    n = len(rows)
    return Messages(buffer=buffer, value=value, keys=keys, key=key, source=np.zeros(n, np.int64), offset=np.arange(n))


def packer(codec: Codec, **changes: Any) -> Packer:
    """A packer under `RULES`."""
    given = {
        "rules": RULES,
        "routes": Routes(PARTITIONS),
        "keys": SubjectKeys(MASTER),
        "single_id": codec.ids["LifecycleEvent"],
        "batch_id": codec.ids["LifecycleBatch"],
        "producers": frozenset({"test"}),
    }
    return Packer(**{**given, **changes})


def bad_messages(codec: Codec) -> dict[str, tuple[bytes, bytes]]:
    """One message (key, value) for each reason, which it must be refused for."""

    def single(**changes: Any) -> tuple[bytes, bytes]:
        made = event(**changes)
        return made["org"].encode(), codec.encode("LifecycleEvent", made)

    good = single()[1]
    many = [event(record_id="r", subject_ids=[]) for _ in range((1 << 16) + 1)]
    return {
        "oversized": (b"acme", good[:5] + bytes(300_000)),
        "unknown_schema": (b"acme", b"\0\0\0\x01\0" + good[5:]),
        "undecodable": (b"acme", good[:-3]),
        "too_many_records": (b"acme", codec.encode("LifecycleBatch", batch(many))),
        "too_many_subjects": single(subject_ids=["s"] * 257),
        "missing_org": single(org=""),
        "bad_org": single(org="o" * 257),
        "org_mismatch": (b"beta", good),
        "bad_text": single(record_id="a\0b"),
        "unknown_category": single(category="nobody"),
        "unknown_target": single(target="billing"),
        "missing_name": single(kind="named", name=""),
        "missing_record_id": single(record_id=""),
        "unexpected_record_id": single(kind="contract", record_id="r1"),
        "record_id_too_long": single(record_id="r" * 1025),
        "missing_parent": single(kind="derived"),
        "subject_too_long": single(subject_ids=["s" * 1025]),
        "time_before_1970": single(occurred_at=-1),
        "time_in_future": single(occurred_at=NOW + 2 * 86_400_000),
    }
