"""When a record must go: the documentation of the rules, row by row.

hold > min_retain (the longest of all sources) > delete_after (explicit replaces default, shortest among explicit)
due = clock + max(min_retain, delete_after)
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policy import CONTRACT_END, CREATED, BadPolicy, Clock, Period, Setting
from schemas.rules import BadRules, CategoryRules, Rules
from schemas.templates import ALIASES, TEMPLATES
from streams.ledger.retention import (
    Effective,
    Level,
    check_settings,
    combine,
    due_day,
    effective,
    newest_due,
    template_settings,
)

EPOCH = date(1970, 1, 1)


def day(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


def iso(number: int) -> str:
    return (EPOCH + timedelta(days=number)).isoformat()


def category(name: str, parent: str | None = None, *, anonymise: bool = False, **default: str) -> CategoryRules:
    known = TEMPLATES["vantage"].get(name)
    return CategoryRules(
        name=name,
        parent=parent,
        targets=("crm",),
        default=Setting(category=name, **default),
        days_range=known.days_range if known else None,
        can_anonymise=anonymise,
    )


def rules(*categories: CategoryRules) -> Rules:
    names = {c.name: c for c in categories}
    return Rules(version=1, categories=names, aliases={a: n for a, n in ALIASES.items() if n in names})


def from_template(name: str) -> Rules:
    tree = TEMPLATES[name]
    return rules(
        *(
            CategoryRules(name=n, parent=c.parent, targets=("crm",), default=c.default, days_range=c.days_range)
            for n, c in tree.items()
        )
    )


@pytest.mark.parametrize(
    ("period", "created", "due"),
    [
        ("0 d", "2026-05-10", "2026-05-11"),  # the day itself must be over
        ("1 d", "2026-05-10", "2026-05-12"),
        ("90 d", "2026-01-01", "2026-04-02"),
        ("90 days", "2024-01-01", "2024-04-01"),  # over a leap day: still ninety days
        ("365 d", "2024-01-01", "2025-01-01"),  # days are days
        ("1 year", "2024-01-01", "2025-01-02"),  # a year that has a leap day is a day longer
        ("12 months", "2023-02-28", "2024-02-29"),
        ("12 months", "2024-02-28", "2025-03-01"),
        ("1 year", "2024-02-29", "2025-03-02"),  # 29 Feb 2025 does not exist: it ends on 1 Mar
        ("4 years", "2024-02-29", "2028-03-01"),
        ("1 month", "2026-01-28", "2026-03-01"),
        ("1 month", "2026-01-29", "2026-03-02"),  # 29, 30 and 31 Feb become 1 Mar
        ("1 month", "2026-01-31", "2026-03-02"),
        ("1 month", "2024-01-29", "2024-03-01"),
        ("1 month", "2026-03-31", "2026-05-02"),
        ("1 month", "2026-12-31", "2027-02-01"),
        ("7 years", "2019-12-31", "2027-01-01"),
        ("100 years", "2000-02-29", "2100-03-02"),  # 2100 is no leap year
    ],
)
def test_a_record_is_due_on_the_first_day_on_which_its_period_has_wholly_passed(
    period: str, created: str, due: str
) -> None:
    passed = Period.parse(period).passed_day(day(created))

    assert iso(passed) == due


@pytest.mark.parametrize(
    ("why", "default", "explicit", "held", "due_after_days"),
    [
        ("the default", {"period": "90 d"}, [], False, 91),
        ("explicit replaces default, longer", {"period": "90 d"}, [{"period": "120 d"}], False, 121),
        ("explicit replaces default, shorter", {"period": "90 d"}, [{"period": "30 d"}], False, 31),
        ("the shortest among explicit", {"period": "10 d"}, [{"period": "50 d"}, {"period": "40 d"}], False, 41),
        ("min_retain is above the default", {"period": "30 d", "min_retain": "60 d"}, [], False, 61),
        ("min_retain below changes nothing", {"period": "30 d", "min_retain": "10 d"}, [], False, 31),
        ("min_retain is above explicit", {"period": "90 d", "min_retain": "60 d"}, [{"period": "30 d"}], False, 61),
        ("the longest min_retain", {"period": "1 d", "min_retain": "60 d"}, [{"min_retain": "70 d"}], False, 71),
        (
            "explicit cannot shorten min_retain",
            {"period": "1 d", "min_retain": "60 d"},
            [{"min_retain": "5 d"}],
            False,
            61,
        ),
        ("while active: never by time", {"period": "while_active"}, [], False, None),
        ("explicit ends while active", {"period": "while_active"}, [{"period": "30 d"}], False, 31),
        ("while active replaces a period", {"period": "30 d"}, [{"period": "while_active"}], False, None),
        ("a hold is above all", {"period": "30 d", "min_retain": "1 d"}, [{"period": "1 d"}], True, None),
        ("no period at all: never", {}, [], False, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_precedence(
    why: str, default: dict[str, str], explicit: list[dict[str, str]], held: bool, due_after_days: int | None
) -> None:
    own = [Setting(category="messages", **e) for e in explicit]

    e = combine([Level(default=Setting(category="messages", **default), explicit=own)])

    created = day("2026-01-01")
    due = due_day(e, created, held=held)
    assert due == (None if due_after_days is None else created + due_after_days), why


def test_which_of_a_month_and_thirty_days_is_longer_is_decided_at_the_date() -> None:
    either = Effective(after=(Period(),), retains=(Period.parse("1 month"), Period.parse("30 d")))

    in_february, in_may = due_day(either, day("2026-02-10")), due_day(either, day("2026-05-10"))

    assert in_february == day("2026-02-10") + 31  # thirty days: a February month is shorter
    assert in_may == day("2026-06-11")  # a month: May has 31 days


@pytest.mark.parametrize(
    ("default", "explicit", "clock"),
    [
        ({"period": "90 d"}, {}, "created"),
        ({"period": "90 d", "clock": "last_activity"}, {}, "last_activity"),
        ({"period": "90 d", "clock": "last_activity"}, {"period": "30 d"}, "last_activity"),
        ({"period": "90 d", "clock": "last_activity"}, {"clock": "created"}, "created"),
        ({"period": "while_active + 30 d"}, {}, "contract_end"),
        ({"period": "while_active + 30 d"}, {"period": "90 d"}, "created"),
        ({"period": "90 d"}, {"period": "while_active + 1 month"}, "contract_end"),
        ({"period": "30 d", "clock": "deactivation"}, {}, "deactivation"),
        ({"period": "30 d", "clock": "named:course_ended"}, {}, "named:course_ended"),
    ],
)
def test_the_clock_is_the_orgs_own_or_the_defaults_and_while_active_counts_from_the_contracts_end(
    default: dict[str, str], explicit: dict[str, str], clock: str
) -> None:
    r = rules(category("content", anonymise=False, **default))

    e = effective(r, {"content": Setting(category="content", **explicit)}, "content")

    assert str(e.clock) == clock


def test_a_contract_end_moved_later_and_a_touch_move_what_is_due() -> None:
    e = Effective(after=(Period.parse("30 d"),), clock=CONTRACT_END)

    before, after = due_day(e, day("2026-01-31")), due_day(e, day("2026-06-30"))

    assert (before, after) == (day("2026-03-03"), day("2026-07-31"))


def test_a_deactivated_instance_is_there_after_29_days_and_due_after_30() -> None:
    r = rules(category("content", period="29 d", clock="deactivation"))
    e = effective(r, {}, "content")
    off = day("2026-04-01")

    due = due_day(e, off)

    assert e.clock == Clock("deactivation")
    assert due == off + 30
    assert newest_due(e, off + 29) == off - 1
    assert newest_due(e, off + 30) == off


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("30 d", "7 years")),
        ({"logs": "60 d"}, ("60 d", "7 years")),  # what a child has itself it does not inherit
        ({"logs.application": "10 d"}, ("10 d", "7 years")),
        ({"logs.audit": "100 d"}, ("30 d", "100 d")),
        ({"logs": "60 d", "logs.application": "90 d"}, ("90 d", "7 years")),
    ],
)
def test_children_inherit_what_they_have_not_themselves(settings: dict[str, str], expected: tuple[str, str]) -> None:
    r = rules(
        category("logs", period="30 d", action="anonymise", min_retain="5 d"),
        category("logs.application", "logs"),
        category("logs.audit", "logs", period="7 years", action="delete"),
    )
    own = {c: Setting(category=c, period=p) for c, p in settings.items()}

    application, audit = effective(r, own, "logs.application"), effective(r, own, "logs.audit")

    assert (str(application.delete_after), str(audit.delete_after)) == expected
    assert (application.action, audit.action) == ("anonymise", "delete")
    assert str(audit.min_retain) == "5 d"


def test_conversations_are_messages() -> None:
    r = rules(category("messages", period="90 d"))
    own = {"conversations": Setting(category="conversations", period="7 d")}

    check_settings(r, own)

    assert effective(r, own, "messages") == effective(r, own, "conversations")
    assert str(effective(r, own, "messages").delete_after) == "7 d"


@pytest.mark.parametrize(
    ("template", "periods"),
    [
        ("vantage", {"messages": "90 d", "logs": "30 d", "logs.audit": "30 d", "metrics": "365 d"}),
        ("vantage", {"content": "None", "schedules": "None", "media": "None"}),
        ("soc2", {"logs.application": "90 d", "logs.security": "1 years", "logs.audit": "7 years", "backups": "30 d"}),
        ("soc2", {"contract": "None", "prompts": "0 d", "messages": "90 d"}),
        ("hipaa", {"logs.application": "90 d", "logs.security": "6 years", "logs.audit": "7 years"}),
    ],
)
def test_the_templates_say(template: str, periods: dict[str, str]) -> None:
    r = from_template(template)

    said = {c: str(effective(r, {}, c).delete_after) for c in periods}

    assert said == periods


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_an_org_may_take_over_any_template_by_name(name: str) -> None:
    settings = template_settings(name)

    check_settings(from_template("vantage"), settings, template=name)

    assert set(settings) <= set(TEMPLATES[name])


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("messages", "period", "0 d", r"category 'messages': period: '0 d' is outside 1 to 3650 days"),
        ("messages", "period", "3651 d", r"'3651 d' is outside 1 to 3650 days"),
        ("metrics", "period", "11 years", r"'11 years' is outside 1 to 3650 days"),
        ("logs.audit", "period", "3651 d", r"category 'logs.audit': period: '3651 d' is outside 1 to 3650 days"),
        ("content", "period", "0 d", r"'0 d' is outside 1 to 36500 days"),
        ("messages", "period", "none_kept", r"'none_kept' is for templates only"),
        ("mesages", "period", "1 d", r"category 'mesages': is unknown; there are backups, content"),
        ("messages", "action", "anonymise", r"action: 'anonymise' is not possible, since the data map names no fields"),
    ],
)
def test_a_setting_outside_what_is_allowed_is_refused_by_name(name: str, field: str, value: str, message: str) -> None:
    settings = {name: Setting(category=name, **{field: value})}

    with pytest.raises(BadPolicy, match=message):
        check_settings(from_template("vantage"), settings)


@pytest.mark.parametrize("period", ["1 d", "3650 d", "119 months", "while_active", "while_active + 5000 d"])
def test_a_setting_at_the_edge_of_its_range_is_accepted(period: str) -> None:
    r = rules(category("messages", period="90 d", anonymise=True))

    check_settings(r, {"messages": Setting(category="messages", period=period, action="anonymise")})

    assert effective(r, {"messages": Setting(category="messages", period=period)}, "messages").retains == ()


def test_a_category_under_both_of_its_names_is_refused() -> None:
    r = from_template("vantage")
    twice = {c: Setting(category=c, period="1 d") for c in ("messages", "conversations")}

    with pytest.raises(BadPolicy, match="is named twice"):
        check_settings(r, twice)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"period": "ninety days"}, r"category 'logs': period: 'ninety days' is not a period; write '90 d'"),
        ({"period": "-1 d"}, "is not a period"),
        ({"period": "9999999 d"}, "is not a period"),
        ({"period": "101 years"}, "allowed is 0 d to 100 years"),
        ({"min_retain": "while_active"}, "min_retain: 'while_active' is not a period"),
        ({"clock": "updated"}, "clock: 'updated' is not a clock"),
        ({"clock": "named:"}, "is not a clock"),
        ({"clock": "created:x"}, "is not a clock"),
        ({"period": "while_active + 3 d", "clock": "created"}, "has its own clock; leave it out"),
        ({"action": "archive"}, "'archive' is not supported yet; write delete or anonymise"),
        ({"action": "shred"}, "'shred' is not an action"),
    ],
)
def test_a_bad_setting_cannot_be_made(fields: dict[str, str], message: str) -> None:
    with pytest.raises(BadPolicy, match=message.replace("+", r"\+")):
        Setting(category="logs", **fields)


@pytest.mark.parametrize("name", ["", "Logs", "a b", "logs.", ".x", "x" * 65, "logs/../x"])
def test_a_bad_category_cannot_be_named(name: str) -> None:
    with pytest.raises(BadPolicy, match="is not a category's name"):
        Setting(category=name)


def test_an_unknown_category_has_no_retention() -> None:
    with pytest.raises(BadRules, match="'nothing' is unknown"):
        effective(from_template("vantage"), {}, "nothing")


periods = st.builds(Period, months=st.integers(0, 240), days=st.integers(0, 4000))
clock_days = st.integers(0, day("2100-01-01"))
effectives = st.builds(
    Effective,
    after=st.lists(periods, max_size=3).map(tuple),
    retains=st.lists(periods, max_size=3).map(tuple),
    clock=st.just(CREATED),
)


@given(effectives, clock_days, st.integers(0, 800))
def test_law_what_happened_later_is_never_due_earlier(e: Effective, clock_day: int, later: int) -> None:
    first, second = due_day(e, clock_day), due_day(e, clock_day + later)

    assert (first is None) == (second is None)
    assert first is None or second is None or clock_day < first <= second


@given(effectives, clock_days)
def test_law_newest_due_is_the_inverse_of_due_day(e: Effective, today: int) -> None:
    newest = newest_due(e, today)

    if newest is not None:
        due = due_day(e, newest)
        assert due is not None
        assert due <= today
    following = due_day(e, 0 if newest is None else newest + 1)
    assert following is None or following > today


@given(effectives, periods, clock_days)
def test_law_one_more_min_retain_never_makes_anything_due_earlier(e: Effective, more: Period, clock_day: int) -> None:
    longer = Effective(after=e.after, retains=(*e.retains, more), clock=e.clock)

    before, after = due_day(e, clock_day), due_day(longer, clock_day)

    assert (before is None) == (after is None)
    assert before is None or after is None or (after >= before and after >= more.passed_day(clock_day))


@given(st.integers(1, 120), clock_days, st.integers(0, 86_399_999))
def test_law_no_instant_of_the_day_is_erased_before_its_calendar_period_is_over(
    months: int, clock_day: int, ms: int
) -> None:
    born = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=clock_day, milliseconds=ms)
    year, month = divmod(born.year * 12 + born.month - 1 + months, 12)
    # The same day and time in the month it falls in, counted from that month's first: overflow rolls into the next.
    over = datetime(year, month + 1, 1, tzinfo=UTC) + timedelta(days=born.day - 1)

    due = EPOCH + timedelta(days=Period(months=months).passed_day(clock_day))

    rolled = over if over.month == month + 1 else datetime(over.year, over.month, 1, tzinfo=UTC)
    ends = rolled.replace(hour=born.hour, minute=born.minute, second=born.second, microsecond=born.microsecond)
    begins = datetime(due.year, due.month, due.day, tzinfo=UTC)
    assert ends < begins <= ends + timedelta(days=1)
