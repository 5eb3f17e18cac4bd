"""A ledger partition's log in a test: builders for its entries, and a driver that feeds them to a `Ledger`.

`LedgerLog` keeps offsets, feeds back what the ledger sends to itself, and collects batches, answers and progress. It
makes a fresh `Ledger` for each entry unless told otherwise, so that nothing but the store can carry state.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.batches import decode_batch
from schemas.codec import full_codec
from schemas.columns import Columns, Ids, Subjects
from schemas.frames import GroupHeader, encode_frame
from schemas.policy import Setting
from schemas.rules import CategoryRules, Rules
from schemas.topics import Topics
from streams.ledger.ledger import Ledger
from streams.ledger.settling import ROUNDS
from streams.reducer import Entry, Send, Store
from tests.support.memory_store import MemoryStore

DAY_S = 86_400
DAY_MS = 86_400_000
TOPICS = Topics()
CODEC = full_codec()
SOURCE = TOPICS.lifecycle


def category(
    name: str,
    period: str = "90 d",
    *,
    clock: str = "created",
    targets: Sequence[str] = ("crm",),
    min_retain: str = "",
    action: str = "delete",
) -> CategoryRules:
    """One category's rules."""
    default = Setting(category=name, period=period, clock=clock, min_retain=min_retain, action=action)
    return CategoryRules(name=name, targets=tuple(targets), default=default, can_anonymise=True)


def rules(*categories: CategoryRules, version: int = 1, **values: Any) -> Rules:
    """Rules of a few categories, one source partition and the test clock."""
    fields: dict[str, Any] = {"test_clock": True, "sources": {SOURCE: 1}, "resend_days": 45, **values}
    return Rules(version=version, categories={c.name: c for c in categories}, **fields)


def group(
    ids: Sequence[str],
    seconds: float | Sequence[float],
    *,
    kind: str = "record",
    org: str = "acme",
    category: str = "messages",
    target: str = "",
    name: str = "",
    parents: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    subjects: Sequence[int | Sequence[int]] | None = None,
) -> tuple[GroupHeader, Columns]:
    """One group of a frame, all of one day. `seconds` since the epoch: one for all, or one each.

    `subjects`: the references of each row, one or several.
    """
    clocks = [int(seconds)] * len(ids) if isinstance(seconds, (int, float)) else [int(s) for s in seconds]
    days = {clock // DAY_S for clock in clocks}
    assert len(days) == 1, "a group is of one day"
    header = GroupHeader(kind=kind, org=org, category=category, target=target, day=days.pop(), name=name)
    columns = Columns(
        ids=Ids.of(ids),
        clocks=np.array(clocks, np.uint32),
        parents=Ids.of(parents) if parents is not None else None,
        subjects=_subjects(subjects) if subjects is not None else None,
        targets=tuple(targets) if targets is not None else None,
    )
    return header, columns


def _subjects(rows: Sequence[int | Sequence[int]]) -> Subjects:
    lists = [[row] if isinstance(row, int) else list(row) for row in rows]
    counts = np.array([len(row) for row in lists], np.int64)
    return Subjects.of(counts, np.array([ref for row in lists for ref in row], np.uint64))


def refs(*subjects: int) -> bytes:
    """Subject references as a command carries them."""
    return b"".join(subject.to_bytes(8, "little") for subject in subjects)


def about(name: str, subjects: Sequence[int], *, org: str, epoch: int, categories: Sequence[str]) -> dict[str, Any]:
    """Return what commands about some people, or without any about everyone, have in common."""
    return {
        "org": org,
        "epoch": epoch,
        "request_id": name,
        "everyone": not subjects,
        "subjects": refs(*subjects),
        "categories": list(categories),
    }


def day(number: float) -> float:
    """Seconds since the epoch of a day; 3.5 is noon of day 3."""
    return number * DAY_S


def intents(sends: Sequence[Send], *kinds: str) -> list[dict[str, Any]]:
    """Return what the audit log is told among `sends`, of these kinds, with its facts read."""
    found = [
        CODEC.decode(send.value)[1] for send in sends if send.topic == TOPICS.audit_intents and send.value is not None
    ]
    return [{**one, "facts": json.loads(one["facts"])} for one in found if not kinds or one["kind"] in kinds]


def unaudited(sends: Sequence[Send]) -> Counter[tuple[str, str]]:
    """Return by how much an entry's batches and orders, as (target, id), differ from what the audit log is told."""
    sent: Counter[tuple[str, str]] = Counter()
    for send in sends:
        told = send.topic.startswith(TOPICS.erasures("")) and send.key is not None and send.value is not None
        if told and CODEC.name_of(send.value or b"") != "VerifyBatch":  # a question changes nothing
            sent[send.topic.removeprefix(TOPICS.erasures("")), send.key.hex()] += 1
    for one in intents(sends, "batch", "hide", "order"):
        sent[one["facts"]["target"], one["facts"].get("batch", one["facts"].get("order"))] -= 1
    return Counter({key: count for key, count in sent.items() if count})


@dataclass
class Batch:
    """A sent erasure batch."""

    id: str
    target: str
    org: str
    category: str
    action: str
    as_of_day: int
    ids: list[str] = field(repr=False)
    raw: bytes = field(repr=False)
    reason: str = "retention"


class LedgerLog:
    """A ledger partition under test. Own steps and copied acks are applied at once, unless `run` is False."""

    def __init__(
        self, store: Store | None = None, *, partition: int = 0, partitions: int = 1, fresh: bool = True
    ) -> None:
        self.store = store if store is not None else MemoryStore()
        self.partition = partition
        self.partitions = partitions
        self.offset = 0
        self.source_offset = 0
        self.sends: list[Send] = []
        self.own: list[Send] = []
        self.entries: list[Entry] = []
        self.steps = 0
        self.story: list[tuple[str, bytes]] = []  # what targets are told, and what they answer, in the log's order
        self.through: dict[tuple[str, int], int] = {}  # source partitions as their watermarks were last told, in ms
        self._sources: Mapping[str, int] = {}
        self._fresh = fresh
        self._ledger = self.new_ledger()
        self.log_ms = 0

    def new_ledger(self) -> Ledger:
        return Ledger(self.partition, self.partitions, TOPICS, CODEC)

    def append(self, name: str, record: Mapping[str, Any], *, run: bool = True) -> list[Send]:
        """Apply one entry, and all that the ledger then tells itself; return every send."""
        sends = self.apply(CODEC.encode(name, record))
        if run:
            sends += self.run()
        return sends

    def apply(self, value: bytes) -> list[Send]:
        """Apply one entry's bytes."""
        entry = Entry(
            topic=TOPICS.ledger, partition=self.partition, offset=self.offset, log_ms=self.log_ms, value=value
        )
        self.offset += 1
        self.entries.append(entry)
        return self.feed(entry)

    def feed(self, entry: Entry) -> list[Send]:
        if self._fresh:
            self._ledger = self.new_ledger()
        sends = list(self._ledger.apply(self.store, entry))
        assert unaudited(sends) == Counter()
        self._remember(entry, sends)
        self.sends += sends
        self.own += [send for send in sends if send.topic == TOPICS.ledger]
        return sends

    def _remember(self, entry: Entry, sends: Sequence[Send]) -> None:
        if entry.topic == TOPICS.ledger and CODEC.name_of(entry.value) == "Acked":
            record = CODEC.decode(entry.value)[1]
            self.story += [("ack", CODEC.encode("Ack", ack)) for ack in record["acks"]]
        self.story += [("sent", s.value) for s in sends if s.topic.startswith(TOPICS.erasures("")) and s.value]

    def step(self) -> list[Send]:
        """Apply the next entry that the ledger wrote to itself."""
        send = self.own.pop(0)
        assert send.value is not None
        self.steps += 1
        return self.apply(send.value)

    def run(self, limit: int = 10_000) -> list[Send]:
        """Apply what the ledger wrote to itself until nothing is left."""
        sends: list[Send] = []
        while self.own:
            sends += self.step()
            limit -= 1
            assert limit, "the ledger goes on telling itself to go on"
        return sends

    def ack(
        self, batch: Batch, outcome: str = "applied", *, level: str = "deleted", run: bool = True, **values: Any
    ) -> list[Send]:
        """Acknowledge a batch through the acks topic; `withheld` and `failed` are row ordinals."""

        def rows(name: str, reason: str) -> list[dict[str, Any]]:
            return [{"row": row, "reason": reason} for row in values.get(name, ())]

        record = {
            "batch_id": batch.id,
            "target": batch.target,
            "level": level if outcome == "applied" else "none",
            "outcome": outcome,
            "found": len(batch.ids),
            "changed": len(batch.ids) - len(values.get("withheld", ())) - len(values.get("failed", ())),
            "withheld": rows("withheld", "hold"),
            "failed": rows("failed", "failed"),
            "gone_within_s": values.get("bound_s", -1),
        }
        return self._answer("Ack", record, run=run)

    def verified(
        self, asked: Mapping[str, Any], level: str = "gone", *, left: int = 0, run: bool = True, **values: Any
    ) -> list[Send]:
        """Answer a question about a batch; `values` are further fields of `VerifyAck`."""
        record = {
            "batch_id": asked["batch_id"],
            "ask": asked["ask"],
            "target": asked["target"],
            "level": level,
            "reaches": "gone",
            "left": left,
            **values,
        }
        return self._answer("VerifyAck", record, run=run)

    def _answer(self, name: str, record: Mapping[str, Any], *, run: bool) -> list[Send]:
        value = CODEC.encode(name, record)
        sends = self.feed(Entry(topic=TOPICS.acks, partition=self.partition, offset=0, log_ms=self.log_ms, value=value))
        return sends + (self.run() if run else [])

    def frame(
        self,
        *groups: tuple[GroupHeader, Columns],
        min_segment: int = 64,
        run: bool = True,
        replay: tuple[int, int] | None = None,
    ) -> list[Send]:
        """Apply a frame. `replay` gives it other source offsets than the next ones."""
        count = sum(len(columns) for _, columns in groups)
        first, following = replay or (self.source_offset, self.source_offset + count)
        self.source_offset = max(self.source_offset, following)
        placed = [(_placed(header, first, following), columns) for header, columns in groups]
        source = {"topic": SOURCE, "partition": 0, "first": first, "next": following}
        body = encode_frame(placed, min_segment=min_segment)
        return self.append("Frame", {"sources": [source], "records": count, "body": body}, run=run)

    def rules(self, value: Rules, *, run: bool = True) -> list[Send]:
        record = {
            "version": value.version,
            "hash": value.hash,
            "code_version": value.code_version,
            "body": value.to_json(),
        }
        self._sources = value.sources
        return self.append("Rules", record, run=run)

    def open(
        self,
        org: str = "acme",
        *,
        epoch: int = 1,
        version: int = 1,
        policy: int = 0,
        settings: Sequence[Setting] = (),
        shards: Sequence[int] = (1,),
        contract_end: int = 0,
        run: bool = True,
        settled: bool = True,
    ) -> list[Send]:
        """Open an org; `settled`: all that was said of it before has come (`streams.ledger.settling`)."""
        record = {
            "org": org,
            "epoch": epoch,
            "version": version,
            "shards": list(shards),
            "policy_version": policy,
            "settings": [s.record() for s in settings],
            "contract_end": contract_end,
            "status": "active",
        }
        sends = self.append("OrgOpen", record, run=run)
        return sends + (self.settle(run=run) if settled else [])

    def settle(self, *, run: bool = True) -> list[Send]:
        """Hear every source again, as far as it was, until orgs that were opened have settled."""
        marks = [
            {"topic": topic, "partition": partition, "through": self.through.get((topic, partition), -1)}
            for topic, partitions in self._sources.items()
            for partition in range(partitions)
        ]
        sends: list[Send] = []
        for _ in range(ROUNDS + 1 if marks else 0):
            sends += self.append("Watermark", {"marks": marks}, run=run)
        return sends

    def policy(
        self, *settings: Setting, org: str = "acme", epoch: int = 1, version: int, run: bool = True
    ) -> list[Send]:
        record = {
            "org": org,
            "epoch": epoch,
            "version": version,
            "settings": [s.record() for s in settings],
            "set_at": 0,
        }
        return self.append("PolicySet", record, run=run)

    def preview(
        self,
        *settings: Setting,
        day: int = -1,
        org: str = "acme",
        epoch: int = 1,
        request_id: str = "p1",
        run: bool = True,
    ) -> list[Send]:
        record = {
            "org": org,
            "epoch": epoch,
            "request_id": request_id,
            "settings": [s.record() for s in settings],
            "as_of_day": day,
        }
        return self.append("Preview", record, run=run)

    def hold(
        self,
        name: str = "hold",
        *,
        org: str = "acme",
        epoch: int = 1,
        categories: Sequence[str] = (),
        subjects: Sequence[int] = (),
        records: Sequence[str] = (),
        grace: int = 0,
        run: bool = True,
    ) -> list[Send]:
        record = {
            "org": org,
            "epoch": epoch,
            "hold_id": name,
            "categories": list(categories),
            "subjects": refs(*subjects),
            "records": list(records),
            "grace_days": grace,
        }
        return self.append("HoldPlaced", record, run=run)

    def release(self, name: str = "hold", *, org: str = "acme", epoch: int = 1, run: bool = True) -> list[Send]:
        return self.append("HoldReleased", {"org": org, "epoch": epoch, "hold_id": name}, run=run)

    def erase(
        self,
        name: str = "request",
        *subjects: int,
        org: str = "acme",
        epoch: int = 1,
        categories: Sequence[str] = (),
        through: float = 1000,
        deadline: int = 0,
        run: bool = True,
    ) -> list[Send]:
        """Ask for an erasure of these subjects, of everyone without any, `through` a day, by `deadline` (ms)."""
        record = about(name, subjects, org=org, epoch=epoch, categories=categories)
        return self.append("Erase", {**record, "through": int(through * DAY_MS), "deadline": deadline}, run=run)

    def brakes(self, sends: Sequence[Send] | None = None, category: str = "messages") -> list[dict[str, Any]]:
        """Return what is told of a category's brake among `sends`, or among all so far."""
        told = [a for a in self.answers(self.sends if sends is None else sends) if a["kind"] == "braked"]
        return [body for a in told if (body := json.loads(a["body"]))["category"] == category]

    def approve(
        self, plan: Mapping[str, Any], category: str = "messages", *, org: str = "acme", run: bool = True
    ) -> list[Send]:
        """Approve a plan that was told."""
        said = {"org": org, "category": category, "request_id": "yes", "day": plan["day"], "digest": plan["digest"]}
        return self.append("BrakeApproved", said, run=run)

    def survey(
        self,
        name: str = "request",
        *subjects: int,
        categories: Sequence[str] = (),
        through: float = 1000,
        exact_over: int = -1,
        epoch: int = 1,
        run: bool = True,
    ) -> list[Send]:
        """Ask what an erasure would find, of these subjects or of everyone."""
        record = about(name, subjects, org="acme", epoch=epoch, categories=categories)
        more = {"through": int(through * DAY_MS), "exact_over": exact_over, "number": 1}
        return self.append("Survey", {**record, **more}, run=run)

    def surveyed(self, sends: Sequence[Send]) -> dict[str, Any]:
        """Return what the one survey among `sends` has found."""
        (found,) = [a for a in self.answers(sends) if a["kind"] == "surveyed"]
        assert found["error"] == "", found["error"]
        body: dict[str, Any] = json.loads(found["body"])
        return body

    def select(
        self,
        name: str = "export",
        *subjects: int,
        org: str = "acme",
        epoch: int = 1,
        categories: Sequence[str] = (),
        run: bool = True,
    ) -> list[Send]:
        """Ask for a list of what these subjects have, of what the org has without any."""
        record = about(name, subjects, org=org, epoch=epoch, categories=categories)
        return self.append("Select", {**record, "options": '{"formats": ["csv"]}'}, run=run)

    def order(
        self,
        name: str = "amend",
        *subjects: int,
        action: str = "rectify",
        parts: Mapping[str, Sequence[str]] | None = None,
        records: Sequence[str] = (),
        epoch: int = 1,
        run: bool = True,
    ) -> list[Send]:
        """Order something of what these subjects have; `parts` maps a category to the targets that can."""
        named = {"messages": ("crm",)} if parts is None else parts
        record = {
            "org": "acme",
            "epoch": epoch,
            "request_id": name,
            "action": action,
            "stamp": 7,
            "subjects": refs(*subjects),
            "records": list(records),
            "parts": [
                {"category": c, "targets": list(ts), "sealed": f"sealed {c}".encode()} for c, ts in named.items()
            ],
        }
        return self.append("OrderRecords", record, run=run)

    def ordered(self, sends: Sequence[Send] | None = None) -> list[Batch]:
        """Return the orders about records among `sends`, or among all so far."""
        found = []
        for send in self.sends if sends is None else sends:
            if send.topic.startswith(TOPICS.erasures("")) and send.value is not None:
                name, r = CODEC.decode(send.value)
                if name == "RecordOrder":
                    made = {k: r[k] for k in ("target", "org", "category", "action")}
                    found.append(
                        Batch(
                            id=r["order_id"],
                            as_of_day=-1,
                            ids=r["record_ids"],
                            raw=send.value,
                            reason=r["request_id"],
                            **made,
                        )
                    )
        return found

    def parts(self, sends: Sequence[Send] | None = None, name: str = "export") -> list[dict[str, Any]]:
        """Return the parts of a list among `sends`, or among all so far."""
        found = [
            CODEC.decode(send.value)[1]
            for send in (self.sends if sends is None else sends)
            if send.topic == TOPICS.selections and send.value is not None
        ]
        return [part for part in found if part["request_id"] == name]

    def said(self, name: str = "request", *, org: str = "acme") -> dict[str, Any]:
        """Return what the newest `erase` answer of a request says."""
        found = [a for a in self.answers(self.sends) if a["kind"] == "erase" and a["request_id"] == name]
        newest = max((a for a in found if a["org"] == org), key=lambda a: int(a["version"]))
        body: dict[str, Any] = json.loads(newest["body"])
        return body

    def tick(self, number: float, *, approved: bool = False, run: bool = True) -> list[Send]:
        return self.append("Tick", {"now": int(number * DAY_MS), "approved": approved}, run=run)

    def watermark(self, number: float, *, partition: int = 0, topic: str = SOURCE, run: bool = True) -> list[Send]:
        through = self.through[topic, partition] = int(number * DAY_MS)
        marks = [{"topic": topic, "partition": partition, "through": through}]
        return self.append("Watermark", {"marks": marks}, run=run)

    def to_day(self, number: float, *, run: bool = True) -> list[Send]:
        """Let ledger time reach a day (noon): watermark, then tick."""
        first = self.watermark(number + 0.5, run=run)
        return first + self.tick(number + 0.5, run=run)

    def batches(self, sends: Sequence[Send] | None = None) -> list[Batch]:
        """Return the erasure batches among `sends`, or among all so far."""
        found = []
        for send in self.sends if sends is None else sends:
            if send.topic.startswith(TOPICS.erasures("")):
                assert send.value is not None
                if CODEC.name_of(send.value) != "ErasureBatch":
                    continue
                r = decode_batch(CODEC, send.value)
                found.append(
                    Batch(
                        r["batch_id"],
                        r["target"],
                        r["org"],
                        r["category"],
                        r["action"],
                        r["as_of_day"],
                        r["record_ids"],
                        send.value,
                        r["reason"],
                    )
                )
        return found

    def asked(self, sends: Sequence[Send] | None = None) -> list[dict[str, Any]]:
        """Return the questions whether a batch is gone among `sends`, or among all so far."""
        sent = [s for s in (self.sends if sends is None else sends) if s.topic.startswith(TOPICS.erasures(""))]
        found = [CODEC.decode(send.value) for send in sent if send.value is not None]
        return [record for name, record in found if name == "VerifyBatch"]

    def erased(self, sends: Sequence[Send] | None = None, target: str = "crm") -> list[str]:
        """Return the ids sent to a target, sorted."""
        return sorted(i for batch in self.batches(sends) if batch.target == target for i in batch.ids)

    def answers(self, sends: Sequence[Send]) -> list[dict[str, Any]]:
        return [
            CODEC.decode(send.value)[1] for send in sends if send.topic == TOPICS.answers and send.value is not None
        ]

    def progress(self, sends: Sequence[Send], target: str = "crm") -> list[dict[str, Any]]:
        found = [
            CODEC.decode(send.value)[1] for send in sends if send.topic == TOPICS.progress and send.value is not None
        ]
        return [record for record in found if record["target"] == target]


def _placed(header: GroupHeader, first: int, following: int) -> GroupHeader:
    if header.next:
        return header
    values = {name: getattr(header, name) for name in ("kind", "org", "category", "target", "day", "name", "source")}
    return GroupHeader(**values, first=first, next=following)


def ready(*categories: CategoryRules, fresh: bool = True, **values: Any) -> LedgerLog:
    """Return a partition with rules and the org `acme` open, on ledger day 0."""
    log = LedgerLog(fresh=fresh)
    log.rules(rules(*(categories or (category("messages"),)), **values))
    log.to_day(0)
    log.open()
    return log
