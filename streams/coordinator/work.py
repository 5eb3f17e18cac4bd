"""One entry's work: the rows that it has read or changed, what it sends, and what it tells of its jobs at its end.

    work.org(name), work.job(name, id), …   rows, each read once
    work.to_ledger(…), work.publish(…)       sends, in order
    work.flush()                             changed rows into the store; a state record for each job that changed

Made by `Coordinator.apply` for each entry, used by all of `streams.coordinator`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar

from ebbtide.envelope import status_key
from ebbtide.partition import ledger_partition
from ebbtide.wire import Codec
from schemas.jobs import DONE, ENDED, PART_COUNTS, STANDING, State, move
from schemas.rules import Rules
from schemas.subjects import SubjectKeys
from schemas.topics import DAY_MS, Topics
from schemas.values import ValuesSeal
from streams.coordinator import audited, keys
from streams.coordinator.rows import Brake, Clock, Erasure, Hiding, Hold, Job, Org, Restriction, Row, Stats
from streams.deadletter import dead_letter
from streams.reducer import Entry, Send, Store

MAX_TEXT: Final = 500
"""Characters of a refusal: it quotes what was asked, which may be of any length."""
KEPT_MS: Final = 30 * DAY_MS
"""How long a job that is done is remembered, and how long after its end a request is still answered."""

GRACE, LATE, FORGET, HOLD_ENDS, EXPIRE = "g", "d", "f", "h", "x"
"""What a timer is for: a grace ends, a deadline has passed, a job is forgotten, a released hold ends, an archive's life
is over."""
LINKS_MS: Final = DAY_MS
MARGIN_MS: Final = 3_600_000

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What stays the same for all entries. `sealing_key` is the private one, `rules_key` the public one; `values`
    closes what targets are to set.

    `links_ms`: for so long an archive's files are handed out; `margin_ms` later it is deleted.
    """

    partition: int
    partitions: int
    topics: Topics
    codec: Codec
    subjects: SubjectKeys
    sealing_key: bytes = field(repr=False)
    values: ValuesSeal = field(repr=False)
    rules_key: bytes
    links_ms: int = LINKS_MS
    margin_ms: int = MARGIN_MS


@lru_cache(maxsize=4)
def parse_rules(raw: bytes) -> Rules:
    """Return the rules of a row; most entries meet the same."""
    return Rules.from_json(raw.decode())


class Work:
    """The work of one entry."""

    def __init__(self, context: Context, store: Store, entry: Entry) -> None:
        self.context, self.store, self.entry = context, store, entry
        self.sends: list[Send] = []
        self.about: dict[str, list[int]] = {}  # request ids to the subject references that they named
        self._rows: dict[bytes, Row] = {}
        self._were: dict[bytes, bytes | None] = {}
        self._jobs: dict[bytes, tuple[str, Job]] = {}
        self._moved: set[bytes] = set()
        self.values: Any = None  # what a request wants to set, as it came: it is never kept
        raw = store.get(keys.RULES)
        self.rules = None if raw is None else parse_rules(raw)
        self.clock = self._row_or_new(keys.CLOCK, Clock)

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def fast(self) -> bool:
        """Whether engine time runs ahead of the broker's, as it does in tests."""
        return self.rules is not None and self.rules.test_clock

    @property
    def now(self) -> int:
        """Engine time of this entry: what begins now begins then."""
        return max(self.clock.tick, self.entry.log_ms) if self.fast else self.entry.log_ms

    @property
    def reached(self) -> int:
        """The time that has surely come: what ends by then has ended. A wrong clock alone moves nothing forward."""
        return self.clock.tick if self.fast else min(self.clock.tick, self.entry.log_ms)

    # -- rows ----------------------------------------------------------------------------------------------------

    def org(self, name: str) -> Org:
        """Return an org's row, an empty one if nothing is known of it."""
        return self._row_or_new(keys.org(name), Org)

    def job(self, name: str, request_id: str) -> Job | None:
        key = keys.of(keys.JOB, name, request_id)
        job = self._row(key, Job)
        if job is not None:
            self._jobs.setdefault(key, (name, job))
        return job

    def hold(self, name: str, hold_id: str) -> Hold | None:
        return self._row(keys.of(keys.HOLD, name, hold_id), Hold)

    def erasure(self, name: str, request_id: str) -> Erasure | None:
        return self._row(keys.of(keys.ERASURE, name, request_id), Erasure)

    def restriction(self, name: str, request_id: str) -> Restriction | None:
        return self._row(keys.of(keys.RESTRICTION, name, request_id), Restriction)

    def restrictions(self, name: str) -> Iterator[Restriction]:
        """Yield the restrictions of an org that stand, those of this entry not among them."""
        prefix = keys.of(keys.RESTRICTION, name)
        for key, _ in list(self.store.scan(prefix)):
            row = self.restriction(name, key[len(prefix) :].decode())
            if row is not None:
                yield row

    def brake(self, name: str, category: str) -> Brake | None:
        return self._row(keys.of(keys.BRAKE, name, category), Brake)

    def hiding(self, name: str) -> Hiding:
        """Return the newest order to hide an org, an empty one if there was none."""
        return self._row_or_new(keys.of(keys.HIDING, name), Hiding)

    def add_job(self, name: str, job: Job) -> Job:
        key = keys.of(keys.JOB, name, job.request_id)
        self._jobs[key] = name, job
        return self._new(key, job)

    def add_hold(self, name: str, hold: Hold) -> Hold:
        return self._new(keys.of(keys.HOLD, name, hold.hold_id), hold)

    def add_erasure(self, name: str, erasure: Erasure) -> Erasure:
        return self._new(keys.of(keys.ERASURE, name, erasure.request_id), erasure)

    def add_restriction(self, name: str, restriction: Restriction) -> Restriction:
        return self._new(keys.of(keys.RESTRICTION, name, restriction.request_id), restriction)

    def add_brake(self, name: str, category: str, brake: Brake) -> Brake:
        return self._new(keys.of(keys.BRAKE, name, category), brake)

    def drop(self, key: bytes) -> None:
        """Forget a row, whatever was done to it before."""
        self._rows.pop(key, None)
        self._jobs.pop(key, None)
        self.store.delete(key)

    def stats(self) -> Stats:
        return self._row_or_new(keys.STATS, Stats)

    def _row(self, key: bytes, kind: type[R]) -> R | None:
        known = self._rows.get(key)
        if known is not None:
            assert isinstance(known, kind)
            return known
        raw = self.store.get(key)
        if raw is None:
            return None
        self._were[key] = raw
        row = kind.from_bytes(raw)
        self._rows[key] = row
        return row

    def _row_or_new(self, key: bytes, kind: type[R]) -> R:
        """Return a row, or an empty one, which is not written unless it is changed."""
        row = self._row(key, kind)
        if row is None:
            row = self._new(key, kind())
            self._were[key] = row.to_bytes()
        return row

    def _new(self, key: bytes, row: R) -> R:
        self._rows[key] = row
        self._were.setdefault(key, None)
        return row

    # -- jobs ----------------------------------------------------------------------------------------------------

    def to(self, job: Job, state: State, *, reason: str = "", text: str = "") -> None:
        """Move a job; its state is told at the end of the entry. Raises schemas.jobs.IllegalMove."""
        job.state, job.reason, job.text = move(job.state, state, job.kind), reason, shortened(text)

    def move_deadline(self, name: str, job: Job, until: int) -> None:
        """Let a job that has not ended be due later, `until` in ms since the epoch."""
        self._forget_deadline(name, job)
        job.deadline = until
        self._note_deadline(name, job)

    def _note_deadline(self, name: str, job: Job) -> None:
        self.store.put(keys.deadline(job.deadline, name, job.request_id), b"")
        self.store.put(keys.timer(job.deadline, LATE, name, job.request_id), b"")

    def _forget_deadline(self, name: str, job: Job) -> None:
        self.store.delete(keys.deadline(job.deadline, name, job.request_id))
        self.store.delete(keys.timer(job.deadline, LATE, name, job.request_id))

    def say_again(self, name: str, job: Job) -> None:
        """Tell a job's present state once more."""
        self._tell(name, job)

    def answers(self, name: str, job: Job) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the newest answer of each partition."""
        prefix = keys.answer(name, job.request_id)
        for key, raw in self.store.scan(prefix):
            yield int.from_bytes(key[len(prefix) :], "big"), json.loads(raw)

    def parts(self, name: str, job: Job) -> list[dict[str, Any]]:
        """Return how far each partition and target is with a job."""
        return [part for partition, answer in self.answers(name, job) for part in parts_of(partition, answer)]

    def answer(self, name: str, job: Job, partition: int) -> dict[str, Any] | None:
        """Return one partition's newest answer."""
        raw = self.store.get(keys.answer(name, job.request_id, partition))
        return None if raw is None else dict(json.loads(raw))

    def put_answer(self, name: str, job: Job, partition: int, answer: Mapping[str, Any]) -> None:
        """Keep one partition's newest answer; the job is told of anew if its parts have changed."""
        before = self.answer(name, job, partition)
        if parts_of(partition, answer) != parts_of(partition, before or {}):
            self._moved.add(keys.of(keys.JOB, name, job.request_id))
        raw = json.dumps(answer, sort_keys=True, separators=(",", ":")).encode()
        self.store.put(keys.answer(name, job.request_id, partition), raw)

    def drop_answers(self, name: str, job: Job) -> None:
        for key in [key for key, _ in self.store.scan(keys.answer(name, job.request_id))]:
            self.store.delete(key)

    # -- sends ---------------------------------------------------------------------------------------------------

    def partitions_of(self, name: str, org: Org) -> list[int]:
        """Return the ledger partitions that hold a shard of an org; none as long as it is not known."""
        if not org.version:
            return []
        return sorted({ledger_partition(name, s, self.context.partitions) for s in range(max(org.shards))})

    def to_ledger(self, partitions: Iterable[int], schema: str, record: Mapping[str, Any]) -> None:
        value = self.context.codec.encode(schema, record)
        topic = self.context.topics.ledger
        self.sends += [Send(topic=topic, partition=p, value=value, sequenced=True) for p in partitions]

    def publish(self, topic: str, key: bytes, schema: str, record: Mapping[str, Any] | None) -> None:
        """Write a record about an org, or a tombstone, to the partition of the org's own number."""
        value = None if record is None else self.context.codec.encode(schema, record)
        self.sends.append(Send(topic=topic, partition=self.context.partition, key=key, value=value))
        audited.published(self, schema, key, record)

    def to_self(self, topic: str, schema: str, record: Mapping[str, Any], *, sequenced: bool) -> None:
        value = self.context.codec.encode(schema, record)
        self.sends.append(
            Send(topic=topic, partition=self.context.partition, key=b"", value=value, sequenced=sequenced)
        )

    def dead_letter(self, reason: str) -> None:
        c = self.context
        self.sends.append(dead_letter(self.entry, reason, topics=c.topics, codec=c.codec, partition=c.partition))
        audited.refused(self, reason)

    # -- the end -------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what has changed, and tell the state of each job that has."""
        for key, (name, job) in list(self._jobs.items()):
            was = self._were.get(key)
            if was != job.to_bytes() or key in self._moved:
                self._settle(name, job, None if was is None else Job.from_bytes(was))
                job.version += 1
                self._tell(name, job)
        for key, row in self._rows.items():
            raw = row.to_bytes()
            if raw != self._were.get(key):
                self.store.put(key, raw)
                self._were[key] = raw

    def _settle(self, name: str, job: Job, was: Job | None) -> None:
        """Keep counts, deadlines and timers in step with a job's state."""
        stats = self.stats()
        if was is None or was.state != job.state:
            if was is not None:
                stats.count(was.kind, was.state, -1)
            stats.count(job.kind, job.state, 1)
            if job.kind == "export" and job.state in DONE:
                self.org(name).exports += 1
            audited.job(self, name, job, was)
        if was is None and job.deadline and not job.ended:
            self._note_deadline(name, job)
        if job.state in ENDED and not job.met:
            job.met = True
            if job.deadline:
                self._forget_deadline(name, job)
            if job.overdue:
                job.overdue = False
                stats.count_overdue(job.kind, -1)
            if job.kind not in STANDING or job.state in (State.REFUSED, State.CANCELLED):
                forget_at = max(self.now, job.expires_at) + KEPT_MS
                self.store.put(keys.timer(forget_at, FORGET, name, job.request_id), b"")

    def _tell(self, name: str, job: Job) -> None:
        record = {
            "request_id": job.request_id,
            "org": name,
            "kind": job.kind,
            "state": str(job.state),
            "reason": job.reason,
            "text": job.text,
            "at": self.entry.log_ms,
            "version": job.version,
            "requested_by": job.requested_by,
            "requested_at": job.requested_at,
            "deadline": job.deadline,
            "parts": self.parts(name, job),
            "detail": json.dumps(job.detail, sort_keys=True, separators=(",", ":")),
        }
        self.publish(self.context.topics.request_status, status_key(name, job.request_id), "RequestStatus", record)


def parts_of(partition: int, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a job that one partition's answer to an erasure speaks of."""
    return [
        {"partition": partition, "target": target, **{name: said.get(name, 0) for name in PART_COUNTS}}
        | {"blocked_by": said.get("blocked_by", "")}
        for target, said in sorted(answer.get("targets", {}).items())
    ]


def shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
