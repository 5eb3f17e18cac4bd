"""What one part of the bench found, and how tables are written. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.bench.bars import Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part: its heading, its table as Markdown, its bars, and everything as it was measured.

    `peaks` has the largest resident set of each of ebbtide's roles that ran, in bytes.
    """

    title: str
    table: str
    bars: tuple[Bar, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    peaks: Mapping[str, int] = field(default_factory=dict)


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def highest(peaks: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return each role's largest peak of several measurements."""
    found: dict[str, int] = {}
    for one in peaks:
        for role, size in one.items():
            found[role] = max(found.get(role, 0), size)
    return found
