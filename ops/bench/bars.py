"""Bars: what is to be reached, and whether it was. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_high, median_low

HELD, SHORT = "held", "short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A verdict on one figure.

    `ratio` is compared with `bar` by `relation`, `>=` or `<=`. Where nothing stands beside it, `ratio` is the figure
    itself, in `unit`.
    """

    name: str
    ratio: float
    bar: float
    relation: str
    held: bool
    unit: str = ""

    @property
    def verdict(self) -> str:
        """`held` or `short`."""
        return HELD if self.held else SHORT

    @property
    def to_reach(self) -> str:
        """The bar as it is read: `>= 3.00`."""
        return f"{self.relation} {_number(self.bar)}{self.unit and ' ' + self.unit}"

    @property
    def reached(self) -> str:
        """The ratio as it is read."""
        return f"{_number(self.ratio)}{self.unit and ' ' + self.unit}"

    def __str__(self) -> str:
        return f"{self.name}: {self.reached} {self.to_reach} {self.verdict}"


def at_least(name: str, ratio: float, bar: float, unit: str = "") -> Bar:
    """Return the verdict on something that should be large."""
    return Bar(name=name, ratio=ratio, bar=bar, relation=">=", held=ratio >= bar, unit=unit)


def at_most(name: str, ratio: float, bar: float, unit: str = "") -> Bar:
    """Return the verdict on something that should be small."""
    return Bar(name=name, ratio=ratio, bar=bar, relation="<=", held=ratio <= bar, unit=unit)


def middle(ratios: Sequence[float]) -> float:
    """Return the median of ratios; of an even number the geometric mean of the two in the middle, so that it is the
    same whichever side is above."""
    low, high = median_low(ratios), median_high(ratios)
    return low if low == high else math.sqrt(low * high)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.2f}"
