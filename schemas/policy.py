"""Values of a retention policy: periods, clocks, and one category's setting as text.

Pure. Made by `schemas.datamap` (defaults), `schemas.templates` and the coordinator (an org's own settings); decided
on by `streams.ledger.retention`. `tests/unit/streams/ledger/test_retention.py` says what they promise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from schemas.errors import Refused

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
MAX_YEARS: Final = 100

DELETE: Final = "delete"
ANONYMISE: Final = "anonymise"
WHILE_ACTIVE: Final = "while_active"
NONE_KEPT: Final = "none_kept"

_PERIOD = re.compile(r"(\d{1,6}) ?(d|days?|months?|years?)")
_CATEGORY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_EVENT = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class BadPolicy(Refused):
    """A policy's field has a value that is not allowed; the text names field, value and what is."""


@dataclass(frozen=True, slots=True)
class Period:
    """Calendar months, then days."""

    months: int = 0
    days: int = 0

    def __post_init__(self) -> None:
        if self.months < 0 or self.days < 0 or self.months > MAX_YEARS * 12 or self.days > MAX_YEARS * 366:
            raise BadPolicy(
                f"a period of {self.months} months and {self.days} days: allowed is 0 d to {MAX_YEARS} years"
            )

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read `90 d`, `90 days`, `12 months` or `7 years`. Raises BadPolicy."""
        match = _PERIOD.fullmatch(text.strip())
        if match is None:
            raise BadPolicy(f"{text!r} is not a period; write '90 d', '12 months' or '7 years'")
        number = int(match[1])
        unit = match[2][0]
        if unit == "d":
            return cls(days=number)
        return cls(months=number * 12 if unit == "y" else number)

    def __str__(self) -> str:
        if not self.months:
            return f"{self.days} d"
        months = f"{self.months // 12} years" if self.months % 12 == 0 else f"{self.months} months"
        return f"{months} + {self.days} d" if self.days else months

    @property
    def nominal_days(self) -> int:
        """Its length in mean Gregorian days, rounded: to compare and to show, never to decide what is due."""
        return self.days + round(self.months * 146097 / 4800)

    def end_day(self, clock_day: int) -> int:
        """Return the day on which the period ends for what happened on `clock_day` (days since the epoch, UTC).

        Months are added to the date; a date that does not exist (30 Feb) becomes the first of the next month, since
        an earlier one would cut the period short: 29 Feb + 1 year ends on 1 Mar.
        """
        if not self.months:
            return clock_day + self.days
        start = date.fromordinal(clock_day + EPOCH_ORDINAL)
        year, month = divmod(start.year * 12 + start.month - 1 + self.months, 12)
        try:
            end = date(year, month + 1, start.day)
        except ValueError:  # only February to November lack a day, so the next month is in the same year
            end = date(year, month + 2, 1)
        return end.toordinal() - EPOCH_ORDINAL + self.days

    def passed_day(self, clock_day: int) -> int:
        """Return the first day on which `clock_day`'s last instant + the period has wholly passed: 90 d, day + 91."""
        return self.end_day(clock_day) + 1


ZERO: Final = Period()


@dataclass(frozen=True, slots=True)
class Clock:
    """What a period counts from: `created`, `last_activity`, `deactivation`, `contract_end` or `named:<event>`."""

    kind: str
    name: str = ""

    def __post_init__(self) -> None:
        named = self.kind == "named"
        if self.kind not in CLOCK_KINDS or named != bool(self.name) or (named and not _EVENT.fullmatch(self.name)):
            raise BadPolicy(
                f"{str(self)!r} is not a clock; "
                "write created, last_activity, deactivation, contract_end or named:<event>"
            )

    @classmethod
    def parse(cls, text: str) -> Clock:
        """Read a clock's text. Raises BadPolicy."""
        kind, colon, name = text.strip().partition(":")
        return cls(kind, name if colon else "")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


CLOCK_KINDS: Final = frozenset({"created", "last_activity", "deactivation", "contract_end", "named"})
CREATED: Final = Clock("created")
CONTRACT_END: Final = Clock("contract_end")


@dataclass(frozen=True, slots=True)
class After:
    """A period's text, read: `while_active` never ends by itself, `while_active + N` is N from the contract's end."""

    period: Period | None
    clock: Clock | None = None
    none_kept: bool = False

    @classmethod
    def parse(cls, text: str) -> After:
        """Read `90 d`, `while_active`, `while_active + 30 d` or `none_kept`. Raises BadPolicy."""
        head, plus, tail = (part.strip() for part in text.partition("+"))
        if head == WHILE_ACTIVE:
            return cls(Period.parse(tail), CONTRACT_END) if plus else cls(None)
        if text.strip() == NONE_KEPT:
            return cls(ZERO, CREATED, none_kept=True)
        return cls(Period.parse(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One category's retention as text, as in Avro's PolicySetting; empty text: not set here.

    Raises BadPolicy, naming category, field, value and what is allowed.
    """

    category: str
    period: str = ""
    clock: str = ""
    min_retain: str = ""
    action: str = ""

    def __post_init__(self) -> None:
        check_category(self.category)
        try:
            field = "period"
            after = After.parse(self.period) if self.period else None
            field = "clock"
            clock = Clock.parse(self.clock) if self.clock else None
            if after and clock and after.clock and clock != after.clock:
                raise BadPolicy(
                    f"{self.clock!r} goes not with period {self.period!r}, which has its own clock; leave it out"
                )
            field = "min_retain"
            if self.min_retain:
                Period.parse(self.min_retain)
            field = "action"
            if self.action == "archive":
                raise BadPolicy("'archive' is not supported yet; write delete or anonymise")
            if self.action not in ("", DELETE, ANONYMISE):
                raise BadPolicy(f"{self.action!r} is not an action; write delete or anonymise")
        except BadPolicy as error:
            raise BadPolicy(f"category {self.category!r}: {field}: {error}") from None

    @property
    def after(self) -> After | None:
        return After.parse(self.period) if self.period else None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Setting:
        """Make it from Avro's PolicySetting or from JSON."""
        return cls(**{name: str(record.get(name, "")) for name in SETTING_FIELDS})

    def record(self) -> dict[str, str]:
        """Return it as Avro's PolicySetting."""
        return asdict(self)


SETTING_FIELDS: Final = ("category", "period", "clock", "min_retain", "action")


def check_category(name: str) -> str:
    """Return a category's name if it is one: dotted lower-case words, at most 64 characters. Raises BadPolicy."""
    if len(name) > 64 or not _CATEGORY.fullmatch(name):
        raise BadPolicy(f"{name!r} is not a category's name; write dotted lower-case words such as 'logs.audit'")
    return name
