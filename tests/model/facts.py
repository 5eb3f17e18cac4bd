"""Plain values that the world hands to the oracle: what happened, in words and numbers, nothing encoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from tests.model.periods import Kind, Said


@dataclass(frozen=True, slots=True)
class Event:
    """One lifecycle event as its producer told it, and its place in the source: (partition, offset).

    `kind`: created, derived, touched, deleted, moved, deactivated, reactivated, contract or named. `at`: seconds since
    the epoch when it occurred; of `contract` the contract's end, 0 for none. `id` is empty for a whole org's.
    """

    kind: str
    org: str
    category: str
    id: str
    at: int
    target: str = ""
    parent: str = ""
    root: str = ""
    name: str = ""
    source: int = 0
    offset: int = 0
    subjects: tuple[int, ...] = ()

    def short(self) -> str:
        """Return it in one line."""
        more = " ".join(f"{n}={getattr(self, n)}" for n in ("target", "parent", "name") if getattr(self, n))
        day, second = divmod(self.at, 86_400)
        return f"{self.kind} {self.org}/{self.category} {self.id or '(org)'} at {day}+{second}s {more} #{self.offset}"


@dataclass(frozen=True, slots=True)
class Events:
    """A frame: what it holds, and the offset up to which it covers each source partition."""

    events: tuple[Event, ...]
    through: dict[int, int]

    def short(self) -> str:
        return "frame: " + "; ".join(event.short() for event in self.events)


@dataclass(frozen=True, slots=True)
class Marks:
    """Watermarks: source partition to ms."""

    through: dict[int, int]

    def short(self) -> str:
        return f"watermarks {self.through}"


@dataclass(frozen=True, slots=True)
class Tick:
    now: int
    approved: bool

    def short(self) -> str:
        return f"tick {self.now / 86_400_000:.2f}{' approved' if self.approved else ''}"


@dataclass(frozen=True, slots=True)
class RulesSaid:
    """Rules of a version. `leap_days` 0: the test clock, no leap is too far."""

    version: int
    kinds: dict[str, Kind]
    sources: int
    leap_days: int
    lateness_s: int
    room: int
    percent: int = 0

    def short(self) -> str:
        return f"rules {self.version}: {[(k.name, k.said) for k in self.kinds.values()]}"


@dataclass(frozen=True, slots=True)
class Opened:
    """An org's facts. `contract` in seconds, 0: none."""

    org: str
    epoch: int
    version: int
    policy_version: int
    said: dict[str, Said] = field(default_factory=dict)
    contract: int = 0

    def short(self) -> str:
        return f"open {self.org} {self.epoch}.{self.version} contract {self.contract} policy {self.said}"


@dataclass(frozen=True, slots=True)
class PolicySaid:
    org: str
    epoch: int
    version: int
    said: dict[str, Said] = field(default_factory=dict)

    def short(self) -> str:
        return f"policy {self.org} version {self.version}: {self.said}"


@dataclass(frozen=True, slots=True)
class PreviewAsked:
    """What would be erased under these settings as of a day; -1: the ledger's."""

    org: str
    epoch: int
    request_id: str
    said: dict[str, Said]
    day: int

    def short(self) -> str:
        return f"preview {self.request_id} of {self.org} as of {self.day}: {self.said}"


PEOPLE = (11, 22, 33, 44, 55, 66, 1 << 63)
"""References of all subjects there are."""


def subjects_of(record: str) -> tuple[int, ...]:
    """Return whose a record is: none, one or two people, and the same whenever it is told."""
    chosen = crc32(record.encode())
    people = (PEOPLE[chosen % len(PEOPLE)], PEOPLE[chosen // 7 % len(PEOPLE)])
    return tuple(sorted(set(people[: chosen // 49 % 4])))


@dataclass(frozen=True, slots=True)
class HoldSaid:
    """A hold; with neither subjects nor records it concerns everyone. `grace` in days."""

    org: str
    epoch: int
    hold: str
    categories: tuple[str, ...]
    subjects: tuple[int, ...]
    records: tuple[str, ...]
    grace: int

    def short(self) -> str:
        return (
            f"{self.hold} of {self.org}: {self.categories or 'all'} {self.subjects} {self.records} grace {self.grace}"
        )


@dataclass(frozen=True, slots=True)
class ReleaseSaid:
    org: str
    epoch: int
    hold: str

    def short(self) -> str:
        return f"release {self.hold} of {self.org}"


@dataclass(frozen=True, slots=True)
class EraseSaid:
    """An erasure. `through` in ms."""

    org: str
    epoch: int
    request: str
    everyone: bool
    subjects: tuple[int, ...]
    categories: tuple[str, ...]
    through: int

    def short(self) -> str:
        who = "everyone" if self.everyone else self.subjects
        return f"{self.request} of {self.org}: {who} {self.categories or 'all'} through {self.through / 86_400_000:.3f}"


@dataclass(frozen=True, slots=True)
class ApprovalSaid:
    """Somebody approves a plan of a braked category, be it the one that there is or another."""

    org: str
    category: str
    day: int
    digest: str

    def short(self) -> str:
        return f"approval of {self.org}/{self.category} as of {self.day}: {self.digest[:8]}"


Fact = (
    Events
    | Marks
    | Tick
    | RulesSaid
    | Opened
    | PolicySaid
    | PreviewAsked
    | HoldSaid
    | ReleaseSaid
    | EraseSaid
    | ApprovalSaid
)
