"""The retention templates that ship with ebbtide, by name: the category tree with its defaults.

A data map names one (`template: vantage`) and takes each category's parent and default from it; an org may take one
over by name. Used by `schemas.datamap` and `streams.ledger.retention`, whose tests say what they promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.policy import NONE_KEPT, WHILE_ACTIVE, Setting

DEFAULT_TEMPLATE: Final = "vantage"

DAYS_RANGE: Final = (1, 3650)
"""What an org may set for messages, logs and metrics, in days."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType({"conversations": "messages"})
"""Other names of categories; an org's messages are its conversations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateCategory:
    """A category as a template has it; a child without a value of its own inherits its parent's."""

    parent: str | None = None
    default: Setting
    days_range: tuple[int, int] | None = None


Template = Mapping[str, TemplateCategory]


def _tree(**periods: str) -> Template:
    """Return the common category tree with `periods` ('.' in a name is '__'), each counted from creation."""

    def category(name: str, parent: str | None = None, days_range: tuple[int, int] | None = None) -> TemplateCategory:
        default = Setting(category=name, period=periods.get(name.replace(".", "__"), ""))
        return TemplateCategory(parent=parent, default=default, days_range=days_range)

    tree = {
        "messages": category("messages", days_range=DAYS_RANGE),
        "logs": category("logs", days_range=DAYS_RANGE),
        "logs.application": category("logs.application", "logs"),
        "logs.security": category("logs.security", "logs"),
        "logs.audit": category("logs.audit", "logs"),
        "metrics": category("metrics", days_range=DAYS_RANGE),
    }
    tree |= {n: category(n) for n in ("content", "schedules", "media", "files", "contract", "backups", "prompts")}
    tree["derived"] = category("derived")
    return MappingProxyType(tree)


_COMMON: Final = {
    "messages": "90 d",
    "logs": "30 d",
    "metrics": "365 d",
    "content": WHILE_ACTIVE,
    "schedules": WHILE_ACTIVE,
    "media": WHILE_ACTIVE,
    "files": WHILE_ACTIVE,
    "contract": WHILE_ACTIVE,
    "backups": "30 d",
    "prompts": NONE_KEPT,
    "derived": WHILE_ACTIVE,
}
_SOC2_LOGS: Final = {"logs__application": "90 d", "logs__security": "12 months", "logs__audit": "7 years"}

TEMPLATES: Final[Mapping[str, Template]] = MappingProxyType(
    {
        "vantage": _tree(**_COMMON),
        "soc2": _tree(**{**_COMMON, **_SOC2_LOGS}),
        # 45 CFR 164.316(b)(2)(i): six years for what documents security; the seven of soc2 for audit logs hold as well.
        "hipaa": _tree(**{**_COMMON, **_SOC2_LOGS, "logs__security": "6 years"}),
    }
)
