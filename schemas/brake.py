"""How much may be decided without a person: the limits of the brake, a section of the data map that the rules carry.

    safety: {brake: {share: 0.5, at_least: 1000, per_day: 0, records: 10000, org_records: 1000000,
                     categories: {logs: {share: 1}}, orgs: {acme: {per_day: 50000}, test: off}}}

What an org says goes before what a category says, a category before those above it, field by field. docs/brake.md says
what each limit stops. Pure; read by ledger and coordinator out of `schemas.rules`, out of a data
map by `schemas.brakemap`; `tests/unit/schemas/test_brake.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from schemas.errors import Refused

MAX_RECORDS: Final = 10**12


class BadBrake(Refused):
    """Limits contradict themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds in one place. 0 records: no such limit.

    share, at_least   of what is kept so much may go at once; fewer records than `at_least` always may
    per_day           records decided on one day: of one org and category on a partition, or by an org's requests
    records           found for one request about people
    org_records       found for the deletion of one org
    """

    share: float = 0.5
    at_least: int = 1_000
    per_day: int = 0
    records: int = 10_000
    org_records: int = 1_000_000
    off: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise BadBrake(f"share is {self.share}; it must be above 0 and at most 1 (1: everything may go)")
        for name in ("at_least", "per_day", "records", "org_records"):
            if not 0 <= getattr(self, name) <= MAX_RECORDS:
                raise BadBrake(f"{name} is {getattr(self, name)}; it must be from 0 to {MAX_RECORDS}")

    def most(self, kept: int) -> int:
        """Return how many records of one category may be decided on one day, of `kept` that there are."""
        by_share = max(self.at_least - 1, int(self.share * kept))
        return min(by_share, self.per_day) if self.per_day else by_share

    def most_asked(self, kept: int, *, today: int, everyone: bool) -> int:
        """Return how many records one request may find, of `kept` that there are; `today` went by the org's others."""
        if everyone:
            allowed = [self.org_records] if self.org_records else [MAX_RECORDS]
        else:
            allowed = [max(self.at_least - 1, int(self.share * kept)), *([self.records] if self.records else [])]
        return max(0, min([*allowed, *([self.per_day - today] if self.per_day else [])]))


NAMES: Final = tuple(f.name for f in fields(Limits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """The limits of an installation: those of all, and what single categories and orgs have otherwise."""

    limits: Limits = field(default_factory=Limits)
    categories: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    orgs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.categories:
            self.of("", [name])
        for org in self.orgs:
            self.of(org, [])

    def of(self, org: str, lineage: Iterable[str]) -> Limits | None:
        """Return what holds for a category of an org, None: nothing does. `lineage`: it and those above it, nearest
        first; none: for what concerns no single category. Raises BadBrake."""
        said: dict[str, Any] = {name: getattr(self.limits, name) for name in NAMES}
        for category in reversed(list(lineage)):
            said |= self.categories.get(category, {})
        said |= self.orgs.get(org, {})
        try:
            found = Limits(**{**said, "off": bool(said["off"])})
        except TypeError as error:
            raise BadBrake(f"the brake has no such limit: {error}") from None
        return None if found.off else found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` makes of it. Raises BadBrake, TypeError, KeyError."""
        return cls(limits=Limits(**value["limits"]), categories=value["categories"], orgs=value["orgs"])
