"""What the oracle keeps: records as they were told, derived ones that follow their source, and facts of orgs."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.periods import Held, Said

Id = tuple[str, str, str]
"""Org, category, record id."""


@dataclass(slots=True, eq=False)
class Row:
    """One record as it was told, or as a target gave it back (`returned`, from day `since` on).

    `requested`: of a request's batch. It goes as the request stands, and does not follow its source any more.
    """

    key: Id = field(repr=False)
    at: int
    target: str = ""
    returned: bool = False
    requested: bool = False
    since: int = -1
    sure: bool = True
    parent: str = ""
    live: bool = True
    got: set[str] = field(default_factory=set)
    memo: tuple[int, int, int] | None = None


@dataclass(slots=True, eq=False)
class Forced:
    """A derived record that follows its erased source in one target, from `day` on if no minimum retain keeps it."""

    key: Id = field(repr=False)
    target: str
    day: int
    at: int
    sure: bool = True


@dataclass(slots=True)
class OrgFacts:
    """What is known of one org. `settles`: the round of its sources from which on it may have something due; 0: any."""

    open: bool = False
    settles: int = 0
    stamp: tuple[int, int] = (0, 0)
    policy_version: int = -1
    said: dict[str, Said] = field(default_factory=dict)
    contract: int = 0
    contract_told: int = 0
    clocks: dict[tuple[str, str], int] = field(default_factory=dict)
    changes: int = 0
    held: dict[str, Held] = field(default_factory=dict)

    def changed(self) -> None:
        self.changes += 1
        self.held.clear()
