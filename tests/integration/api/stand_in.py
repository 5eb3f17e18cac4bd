"""A small coordinator for tests of the API: it answers each request by the rules below, and can be told to be silent.

What the real one decides is its own tests' to show; the whole path is tested where both run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, Producer

from ebbtide.envelope import status_key
from ebbtide.partition import partition_of
from ebbtide.wire import Codec
from schemas.codec import full_codec
from schemas.topics import Topics

ORG_NAME = "Acme Boats"
Record = dict[str, Any]


@dataclass(slots=True)
class StandIn:
    """Reads `requests`, writes states. `seen` are all requests in order, as decoded and as they came."""

    bootstrap: str
    topics: Topics
    partitions: int
    codec: Codec = field(default_factory=full_codec)
    seen: list[Record] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    late_s: float = 0.0
    """What comes with a state is committed so many seconds after it, by a transaction that began before it."""
    _versions: dict[str, int] = field(default_factory=dict)
    _known: dict[tuple[str, str], Record] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _producer: Producer | None = None

    def start(self) -> None:
        self._producer = Producer(
            {"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.topics.prefix}-stand-in"}
        )
        self._producer.init_transactions(30)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(30)
        self._producer = None

    def of(self, org: str, kind: str) -> list[Record]:
        """Return the requests of one org and kind so far."""
        return [record for record in list(self.seen) if record["org"] == org and record["kind"] == kind]

    def tell(self, org: str, request_id: str, **changes: Any) -> None:
        """Write the next state of a job."""
        self._known[org, request_id] = self._known[org, request_id] | changes
        self._known[org, request_id]["version"] += 1
        self._write([self._status(self._known[org, request_id])], org)

    def publish_org(self, org: str) -> None:
        record = {"org": org, "name": ORG_NAME, "set_at": 1, "owners": []}
        self._write([(self.topics.orgs, org.encode(), self.codec.encode("OrgSet", record))], org)

    def _run(self) -> None:
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": f"{self.topics.prefix}-stand-in",
             "auto.offset.reset": "earliest", "enable.auto.commit": False}
        )  # fmt: skip
        consumer.subscribe([self.topics.requests])
        waiting: list[Record] = []
        while not self._stop.is_set():
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                name, record = self.codec.decode(message.value() or b"")
                if name == "Request":
                    assert message.key() == record["org"].encode()
                    assert message.partition() == partition_of(record["org"].encode(), self.partitions)
                    self.seen.append(record | {"raw": message.value()})
                    waiting.append(record)
            while waiting and not self.silent.is_set():
                self._answer(waiting.pop(0))
        consumer.close()

    def _answer(self, record: Record) -> None:
        org, place = record["org"], (record["org"], record["request_id"])
        if place not in self._known:
            body = json.loads(record["body"])
            same = ("request_id", "org", "kind", "requested_by", "requested_at")
            status = {name: record[name] for name in same} | {"at": record["requested_at"], "version": 1, "detail": {}}
            self._known[place] = status
            decided, others = _DECIDE[record["kind"]](self, record, body)
            status.update(decided)
        else:
            others = []
        late = self._open(others, org) if others and self.late_s else None
        self._write([*([] if late else others), self._status(self._known[place])], org)
        if late is not None:
            self._stop.wait(self.late_s)
            late.commit_transaction(30)

    def _open(self, records: list[tuple[str, bytes, bytes]], org: str) -> Producer:
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.topics.prefix}-late"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for topic, key, value in records:
            producer.produce(topic, value, key, partition_of(org.encode(), self.partitions))
        assert producer.flush(30) == 0
        return producer

    def _status(self, status: Record) -> tuple[str, bytes, bytes]:
        record = status | {"detail": json.dumps(status["detail"])}
        key = status_key(status["org"], status["request_id"])
        return self.topics.request_status, key, self.codec.encode("RequestStatus", record)

    def _write(self, records: list[tuple[str, bytes, bytes]], org: str) -> None:
        assert self._producer is not None
        self._producer.begin_transaction()
        for topic, key, value in records:
            self._producer.produce(topic, value, key, partition_of(org.encode(), self.partitions))
        self._producer.commit_transaction(30)

    # --- what it decides ---

    def policy(self, record: Record, body: Record) -> tuple[Record, list[tuple[str, bytes, bytes]]]:
        org, version = record["org"], self._versions.get(record["org"], 0)
        if body.get("if_version", version) != version:
            return {"state": "refused", "reason": "stale_policy", "text": f"it is at version {version}"}, []
        self._versions[org] = version + 1
        state = {"org": org, "version": version + 1, "settings": body["settings"], "set_at": record["requested_at"]}
        state |= {"request_id": record["request_id"]}
        value = self.codec.encode("PolicyState", state)
        return {"state": "completed", "detail": {"version": version + 1}}, [(self.topics.policies, org.encode(), value)]

    def hold(self, record: Record, body: Record) -> tuple[Record, list[tuple[str, bytes, bytes]]]:
        state = {"org": record["org"], "hold_id": body["hold_id"], "grace_days": body.get("grace_days", 30)}
        state |= {"state": "in_force" if record["kind"] == "hold" else "released", "subjects": b"r" * 16}
        state |= {"request_id": record["request_id"], "placed_at": 1, "at": 2, "records": body.get("records", [])}
        key = f"{record['org']}/{body['hold_id']}".encode()
        return {"state": "completed"}, [(self.topics.holds, key, self.codec.encode("HoldState", state))]

    def delete(self, record: Record, body: Record) -> tuple[Record, list[tuple[str, bytes, bytes]]]:
        if body["confirm_org_name"] != ORG_NAME:
            return {"state": "refused", "reason": "wrong_org_name", "text": "confirm_org_name: is not its name"}, []
        return {"state": "grace", "deadline": record["requested_at"] + 1}, []

    def erase(self, record: Record, _: Record) -> tuple[Record, list[tuple[str, bytes, bytes]]]:
        return {"state": "planning", "detail": {"subjects": [1]}}, []

    def export(self, record: Record, body: Record) -> tuple[Record, list[tuple[str, bytes, bytes]]]:
        return {"state": "planning", "detail": {"format": body["format"]}}, []

    def done(self, record: Record, _: Record) -> tuple[Record, list[tuple[str, bytes, bytes]]]:
        return {"state": "completed", "detail": {"categories": {"messages": {"records": 3}}}}, []


_DECIDE: dict[str, Callable[[StandIn, Record, Record], tuple[Record, list[tuple[str, bytes, bytes]]]]] = {
    "policy": StandIn.policy,
    "hold": StandIn.hold,
    "release": StandIn.hold,
    "delete": StandIn.delete,
    "erase": StandIn.erase,
    "rectify": StandIn.erase,
    "restrict": StandIn.erase,
    "export": StandIn.export,
    **dict.fromkeys(("lock", "preview"), StandIn.done),
    **dict.fromkeys(
        ("cancel", "restore", "approve", "pause", "resume", "verify", "deny", "extend", "unrestrict"), StandIn.done
    ),
}
