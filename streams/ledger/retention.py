"""When a record must go, and what is done to it: the precedence of policies.

Pure: no clock, no I/O. `streams.ledger` carries out what is decided here, the coordinator checks settings with it;
`tests/unit/streams/ledger/test_retention.py` is the documentation of its rules (K1):

    hold > min_retain (the longest of all sources) > delete_after (explicit replaces default, shortest among explicit)
    due = clock + max(min_retain, delete_after)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.policy import ANONYMISE, CREATED, DELETE, ZERO, BadPolicy, Clock, Period, Setting
from schemas.rules import Rules
from schemas.templates import TEMPLATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What holds for one category of one org.

    Each of `explicit` ends the keeping (the earliest decides; empty: never by time), none of `retains` may be cut
    short (the latest decides). Kept apart, since "1 month or 30 d" has its answer only at a date.
    """

    after: tuple[Period, ...]
    retains: tuple[Period, ...] = ()
    clock: Clock = CREATED
    action: str = DELETE

    @property
    def delete_after(self) -> Period | None:
        """The shortest period, to show; None: never by time. What is due is `due_day`'s to say."""
        return min(self.after, key=lambda p: p.nominal_days, default=None)

    @property
    def min_retain(self) -> Period:
        """The longest minimum, to show."""
        return max(self.retains, key=lambda p: p.nominal_days, default=ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is said of a category itself: its default, and all explicit settings."""

    default: Setting
    explicit: Sequence[Setting] = ()

    def all(self) -> Iterable[Setting]:
        """Yield the settings, those that go first first."""
        return (*self.explicit, self.default)


def combine(levels: Sequence[Level]) -> Effective:
    """Apply K1 to a category's own level, its parent's, and so on.

    Each field comes from the nearest level that has it: a child inherits what it has not itself. There, explicit
    replaces default, and of several explicit periods the shortest decides. Every min_retain of every level counts.
    """
    afters = [after for s in _deciding(levels) if (after := s.after) is not None]
    ending = [(after.period, after.clock) for after in afters if after.period is not None]
    everything = [s for level in levels for s in level.all()]
    own_clock = ending[0][1] if ending else None
    said_clock = next((Clock.parse(s.clock) for s in everything if s.clock), CREATED)
    return Effective(
        after=tuple(period for period, _ in ending),
        retains=tuple(Period.parse(s.min_retain) for s in everything if s.min_retain),
        clock=own_clock or said_clock,
        action=next((s.action for s in everything if s.action), DELETE),
    )


def _deciding(levels: Sequence[Level]) -> list[Setting]:
    """Return the settings whose period decides."""
    for level in levels:
        explicit = [s for s in level.explicit if s.period]
        if explicit:
            return explicit
        if level.default.period:
            return [level.default]
    return []


def effective(rules: Rules, settings: Mapping[str, Setting], category: str) -> Effective:
    """Return what holds for `category` of an org with `settings` (by category).

    Raises schemas.rules.BadRules for a category that the rules do not have.
    """
    own = {rules.canonical(name): setting for name, setting in settings.items()}
    return combine(
        [
            Level(default=c.default, explicit=(own[c.name],) if c.name in own else ())
            for c in rules.lineage(rules.canonical(category))
        ]
    )


def due_day(e: Effective, clock_day: int, *, held: bool = False) -> int | None:
    """Return the first day on which a record whose clock stands on `clock_day` is due; None: never by time.

    Days since the epoch, UTC. Never early: the last instant of `clock_day` counts. A hold is infinite.
    """
    if held or not e.after:
        return None
    ends = min(period.passed_day(clock_day) for period in e.after)
    return max([ends, *(period.passed_day(clock_day) for period in e.retains)])


def newest_due(e: Effective, today: int) -> int | None:
    """Return the newest clock day (from day 0 on) that is due on `today`; None: none is."""
    if not e.after:
        return None
    low, high = -1, today - 1  # the answer, or -1 for none, is in [low, high]: nothing is due on its clock day itself
    while low < high:
        middle = (low + high + 1) // 2
        due = due_day(e, middle)
        if due is not None and due <= today:
            low = middle
        else:
            high = middle - 1
    return low if low >= 0 else None


def template_settings(name: str) -> dict[str, Setting]:
    """Return a template as settings an org can take over, by category. Raises BadPolicy for an unknown name."""
    if name not in TEMPLATES:
        raise BadPolicy(f"template: {name!r} is unknown; there are {', '.join(TEMPLATES)}")
    return {category: c.default for category, c in TEMPLATES[name].items() if c.default.period}


def check_settings(rules: Rules, settings: Mapping[str, Setting], template: str = "") -> None:
    """Check what an org asks for. `template` names the one it was taken over from, if it was.

    Raises BadPolicy, naming category, field, value and what is allowed: a category the rules do not have, named
    twice, a period outside its range, `none_kept` that no template says, `anonymise` where a target could not.
    """
    from_template = template_settings(template) if template else {}
    seen: set[str] = set()
    for key, setting in settings.items():
        name = rules.canonical(key)
        where = f"category {key!r}"
        if name not in rules.categories:
            raise BadPolicy(f"{where}: is unknown; there are {', '.join(sorted(rules.categories))}")
        if name in seen or rules.canonical(setting.category) != name:
            raise BadPolicy(f"{where}: is named twice")
        seen.add(name)
        _check_period(rules, name, setting, where, from_template.get(name))
        if setting.action == ANONYMISE and not _can_anonymise(rules, name):
            raise BadPolicy(
                f"{where}: action: 'anonymise' is not possible, since the data map names no fields for it; write delete"
            )


def _check_period(rules: Rules, name: str, setting: Setting, where: str, template: Setting | None) -> None:
    after = setting.after
    if after is None or after.period is None:
        return
    if after.none_kept:
        said = (template.period if template else "", rules.categories[name].default.period)
        if setting.period not in said:
            raise BadPolicy(f"{where}: period: {setting.period!r} is for templates only; write 1 d or more")
        return
    if after.clock is not None:
        return
    days_range = next((c.days_range for c in rules.lineage(name) if c.days_range is not None), None)
    if template is not None and setting.period == template.period:
        return
    low, high = days_range or (1, MAX_DAYS)
    if not low <= after.period.nominal_days <= high:
        raise BadPolicy(f"{where}: period: {setting.period!r} is outside {low} to {high} days")


def _can_anonymise(rules: Rules, name: str) -> bool:
    """Whether the category and all below it that have targets could be anonymised."""
    below = [c for c in rules.categories.values() if c.targets and any(up.name == name for up in rules.lineage(c.name))]
    return bool(below) and all(c.can_anonymise for c in below)


MAX_DAYS = 36_500
"""The longest period an org may set where the template has no range of its own."""
