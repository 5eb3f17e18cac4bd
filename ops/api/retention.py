"""An org's retention as people see it, and a change of it as a request has it.

Pure: rules and rows in, documents and settings out. `messages_days` and its kin are short for a period of that category
in days. Used by `ops.api.routes`; `tests/unit/ops/api/test_retention.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from ops.api.models import Change, RetentionAsked, SettingAsked
from ops.api.problems import invalid
from schemas.policy import EPOCH_ORDINAL, SETTING_FIELDS, BadPolicy, Setting
from schemas.rules import Rules
from schemas.templates import TEMPLATES
from streams.ledger.retention import check_settings, effective

SHORT: Final = ("messages", "logs", "metrics")
DEFAULT: Final = "default"
"""As a field's text: back to what the rules say."""

Row = Mapping[str, Any]


def etag(rules: Rules, row: Row | None) -> str:
    """Return the entity tag of an org's retention: it changes with the policy, and with the rules under it."""
    return f'"{row["version"] if row else 0}.{rules.version}"'


def is_current(given: str, tag: str) -> bool:
    """Whether an `If-Match` (RFC 9110, 13.1.1) names `tag`; a weak one never does."""
    return given.strip() == "*" or tag in [part.strip() for part in given.split(",")]


def document(org: str, rules: Rules, row: Row | None) -> dict[str, Any]:
    """Return the retention of an org: short days, its own settings, and what holds for each category."""
    settings = row["settings"] if row else []
    own = {rules.canonical(s["category"]): Setting.of(s) for s in settings}
    held = {name: _held(rules, own, name) for name in sorted(rules.categories) if rules.categories[name].targets}
    return {
        "org": org,
        "version": row["version"] if row else 0,
        **{f"{name}_days": _days(rules, own, name) for name in SHORT},
        "settings": by_category(settings),
        "effective": held,
        "template": row["template"] if row else "",
        "locked_until": day_text(row["locked_until"]) if row else None,
        "updated_at": row["set_at"] if row else 0,
    }


def by_category(settings: Sequence[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return settings as an object of category to the fields that are set."""
    return {s["category"]: {name: s[name] for name in SETTING_FIELDS[1:] if s[name]} for s in settings}


def day_text(day: int) -> str | None:
    """Return a day since the epoch as a date; None for 0, none."""
    return date.fromordinal(day + EPOCH_ORDINAL).isoformat() if day > 0 else None


def _days(rules: Rules, own: Mapping[str, Setting], name: str) -> int | None:
    if name not in rules.categories:
        return None
    period = effective(rules, own, name).delete_after
    return None if period is None or period.months else period.days


def _held(rules: Rules, own: Mapping[str, Setting], name: str) -> dict[str, Any]:
    e = effective(rules, own, name)
    return {
        "period": "while_active" if e.delete_after is None else str(e.delete_after),
        "clock": str(e.clock),
        "min_retain": str(e.min_retain),
        "action": e.action,
        "set_by_org": name in own,
    }


def request_body(change: Change, rules: Rules) -> dict[str, Any]:
    """Return a change as the members of a `policy` or `preview` request.

    Raises Problem, `invalid`, naming each member: an unknown category or template, a value out of range, a category
    that is given twice.
    """
    given: dict[str, tuple[str, dict[str, str]]] = {}
    faults: list[tuple[str, str]] = []
    for name in SHORT:
        days = getattr(change, f"{name}_days")
        if days is not None:
            given[name] = (f"/{name}_days", {"period": f"{days} d"})
    for name, setting in (change.settings or {}).items():
        category = rules.canonical(name)
        if category in given:
            faults.append((f"/settings/{name}", f"the category is given twice, also as {given[category][0]}"))
        given[category] = (f"/settings/{name}", _texts(setting))
    template = change.template if isinstance(change, RetentionAsked) else None
    if template is not None and template not in TEMPLATES:
        faults.append(("/template", f"is unknown; there are {', '.join(TEMPLATES)}"))
    for category, (pointer, texts) in given.items():
        faults += _faults(rules, category, pointer, texts)
    if faults:
        raise invalid(*faults)
    body: dict[str, Any] = {}
    if given:
        body["settings"] = [{"category": category, **texts} for category, (_, texts) in sorted(given.items())]
    if template is not None:
        body["template"] = template
    return body


def _texts(setting: SettingAsked) -> dict[str, str]:
    return {name: text for name, text in setting.model_dump().items() if text is not None}


def _faults(rules: Rules, category: str, pointer: str, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    if not texts:
        return [(pointer, "says nothing; give period, clock, min_retain or action")]
    try:
        said = {name: text for name, text in texts.items() if text != DEFAULT}
        check_settings(rules, {category: Setting(category=category, **said)})
    except BadPolicy as error:
        return [(pointer, str(error))]
    return []
