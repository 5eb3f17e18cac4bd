"""When the bytes of what was erased are gone, and what is still there: plain values.

`sinks.base` says who answers with them; docs/gone.md says what each kind of store can know.
`tests/unit/sinks/test_gone.py` says what they promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NONE: Final = "none"
"""No acknowledgement: a query returns some of it, or that is not known."""

DELETED: Final = "deleted"
"""The acknowledgement that no query returns it."""

GONE: Final = "gone"
"""The acknowledgement that the store keeps it no more, old versions and dead rows included: see docs/gone.md."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer is not known, and why. Never to be counted as zero."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """By when a row that was acknowledged is physically gone from the store.

    level: the highest acknowledgement that the target reaches by itself, DELETED or GONE.
    gone_within_s: the bound in seconds, from live settings; infinite where the settings bound nothing.
    depends_on: in plain words, what it rests on and what it does not cover.
    blocked_by: what holds it back now: as long as that lasts, the bound does not hold.
    watch: what does not hold it back, and may keep a copy or bring one back.
    """

    level: str
    gone_within_s: float | Unknown
    depends_on: str
    blocked_by: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Whether what a batch erased is gone now: the store was asked anew, all that it keeps included.

    level: NONE, DELETED or GONE. A GONE that is said once the target's bound has passed is what `verified` rests on.
    left: copies that are still there (rows, versions, older records of a key); GONE is said only with 0.
    blocked_by: what holds it back, in plain words; empty where only time is missing, or nothing.
    """

    level: str
    left: int | Unknown
    blocked_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level == GONE and (self.left != 0 or self.blocked_by):
            raise ValueError("nothing is gone while a copy is left, unknown or held back")

    @classmethod
    def deleted(cls, left: int | Unknown, why: str) -> Gone:
        """The answer of a store that can only be asked what its queries return: `left` of it, and `why` no more."""
        if left == 0:
            return cls(level=DELETED, left=Unknown(why))
        return cls(level=NONE, left=left)
