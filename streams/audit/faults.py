"""What can be wrong with a log, and how it is said. Used by `streams.audit.lines` and `streams.audit.verify`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.errors import Refused, Reject

FLIPPED: Final = "flipped"
CUT: Final = "cut"
SWAPPED: Final = "swapped"
TRUNCATED: Final = "truncated"
FORKED: Final = "forked"
FAULTS: Final[Mapping[str, str]] = {
    FLIPPED: "what stands there is not what was signed",
    CUT: "an entry, or a whole day before it, is missing",
    SWAPPED: "something stands there that belongs elsewhere",
    TRUNCATED: "entries from there on are missing",
    FORKED: "it is not the log that a head was signed for",
}
"""What can be wrong, each in plain words."""


@dataclass(eq=False)
class Tampered(Reject):
    """A log is not what was signed. `day` is empty where not even that can be believed."""

    day: str
    index: int
    fault: str
    detail: str = ""

    def __str__(self) -> str:
        where = f"day {self.day}, index {self.index}" if self.day else f"index {self.index}"
        said = f"audit log, {where}: {self.fault}: {FAULTS[self.fault]}"
        return f"{said} ({self.detail})" if self.detail else said


class NotComparable(Refused):
    """A head that was kept is of another log, or of days that the file does not hold."""
