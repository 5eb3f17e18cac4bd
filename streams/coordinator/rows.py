"""What a coordinator partition keeps: one JSON row each for an org, a job, a hold, an erasure and the clock.

A row that lacks a field has its default, so that rows of an older program are read. Used by all of
`streams.coordinator`; proven by `tests/unit/streams/coordinator/test_rows.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from schemas.jobs import ENDED, State


@dataclass(slots=True, kw_only=True)
class Row:
    """A row as canonical JSON: equal rows are equal bytes."""

    def to_bytes(self) -> bytes:
        """Return the row."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a row that `to_bytes` wrote."""
        return cls(**json.loads(raw))


@dataclass(slots=True, kw_only=True)
class Org(Row):
    """What is known of one org.

    `shards` is every shard count that it ever had, `routed` how many of them gateways know, `opened` the partitions
    that have opened the present epoch, `awaited` how many answers of new partitions to its holds and erasures are still
    out. `locked_until` is a day since the epoch, -1 for none; `template` the one its settings were taken over from.
    `deletion` is the id of the deletion that is under way. `exports` counts the archives that were ever made of it.
    `policy_by` is who changed its settings last, and `setters` who changed each field of each category's last.
    `brakes` counts what was ever braked of it, and `asked` records its requests were found to erase on day `asked_day`,
    without a person's approval.
    """

    version: int = 0
    epoch: int = 0
    name: str = ""
    contract_end: int = 0
    status: str = "active"
    shards: list[int] = field(default_factory=lambda: [1])
    routed: int = 0
    opened: list[int] = field(default_factory=list)
    awaited: int = 0
    policy_version: int = 0
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    template: str = ""
    locked_until: int = -1
    deletion: str = ""
    exports: int = 0
    policy_by: str = ""
    setters: dict[str, dict[str, str]] = field(default_factory=dict)
    brakes: int = 0
    asked_day: int = -1
    asked: int = 0


@dataclass(slots=True, kw_only=True)
class Job(Row):
    """One request and what became of it.

    `content` is the SHA-256 of the request, hex. `asked_at` is engine time, `expires_at` the request's own. `told` are
    the partitions that were asked, `answered` those that have said what was asked for. `grace_end` is engine time, and
    `grace_left` what is left of it while the job is paused. `met`: it has ended once, so its deadline is over.
    """

    request_id: str
    kind: str
    content: str
    state: State = State.REQUESTED
    version: int = 0
    reason: str = ""
    text: str = ""
    requested_by: str = ""
    asked_at: int = 0
    requested_at: int = 0
    expires_at: int = 0
    deadline: int = 0
    overdue: bool = False
    met: bool = False
    body: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    grace_end: int = 0
    grace_left: int = 0

    def __post_init__(self) -> None:
        self.state = State(self.state)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def due_until(self) -> int:
        """The deadline that still counts, 0 for none."""
        return 0 if self.met else self.deadline


@dataclass(slots=True, kw_only=True)
class Hold(Row):
    """One legal hold.

    `refs` are hex, 8 bytes each; `released_by` are the partitions that have answered its release, `awaited` new ones
    whose answer the org's Route waits for.
    """

    hold_id: str
    request_id: str
    state: str = "requested"
    categories: list[str] = field(default_factory=list)
    refs: str = ""
    records: list[str] = field(default_factory=list)
    grace_days: int = 30
    placed_at: int = 0
    released_at: int = 0
    release_id: str = ""
    ends_day: int = -1
    told: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    released_by: list[int] = field(default_factory=list)
    awaited: list[int] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Erasure(Row):
    """One barrier: who is erased up to when. `refs` are hex, 8 bytes each; empty: everyone. It stands for ever.

    `joined` are other requests for the same, whose jobs go where this one's goes.
    """

    request_id: str
    refs: str = ""
    categories: list[str] = field(default_factory=list)
    through: int = 0
    told: list[int] = field(default_factory=list)
    awaited: list[int] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Restriction(Row):
    """One restriction that stands: whose records are held and hidden, until it is lifted.

    `refs` are hex, 8 bytes each; `categories` those that were asked for, empty: all; `parts`: category to the targets
    that hide its records, with `stamp`. `settled`: it is placed everywhere; `lifted_by`: the job that lifts it.
    """

    request_id: str
    refs: str = ""
    categories: list[str] = field(default_factory=list)
    hold_id: str = ""
    stamp: int = 0
    parts: dict[str, list[str]] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)
    settled: bool = False
    lifted_by: str = ""


@dataclass(slots=True, kw_only=True)
class Hiding(Row):
    """The newest order to hide an org, or to bring it back.

    `number` grows with each; `stamp`, microseconds, is that of the hide. `request_id` is the deletion, `asker` the job
    that called it off. `parts`: category to targets; `targets`: what the ledger last said of each, by its `version`.
    `done`: target to categories that it had hidden when it was called off.
    """

    number: int = 0
    action: str = ""
    stamp: int = 0
    request_id: str = ""
    asker: str = ""
    version: int = 0
    parts: dict[str, list[str]] = field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Brake(Row):
    """A braked category: its `job`, and by ledger partition what was told last: state, `at` (log offset), why, plan."""

    job: str
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Clock(Row):
    """Time as this partition knows it, ms since the epoch, UTC.

    `tick` is the newest tick that was believed, -1 before any; up to `read` all requests have been read. `asked` and
    `seen` number the markers that this partition has sent to its own requests, at `asked_at`, and read again; `step`
    numbers those to its own answers.
    """

    tick: int = -1
    ignored: int = 0
    read: int = 0
    asked: int = 0
    asked_at: int = 0
    seen: int = 0
    step: int = 0


@dataclass(slots=True, kw_only=True)
class Stats(Row):
    """How many jobs are in which state, by kind, and how many are past their deadline; of the brake's plans how many
    approvals there ever were, and how many of them were void."""

    jobs: dict[str, dict[str, int]] = field(default_factory=dict)
    overdue: dict[str, int] = field(default_factory=dict)
    approvals: int = 0
    voided: int = 0

    def count(self, kind: str, state: str, step: int) -> None:
        """Add `step` jobs."""
        states = self.jobs.setdefault(kind, {})
        states[state] = states.get(state, 0) + step
        if not states[state]:
            del states[state]

    def count_overdue(self, kind: str, step: int) -> None:
        self.overdue[kind] = self.overdue.get(kind, 0) + step


Settings = Mapping[str, Mapping[str, str]]
"""An org's own settings by category."""
