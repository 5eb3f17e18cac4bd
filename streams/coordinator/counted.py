"""Counts in the bodies of answers: whole numbers from 0 on, and nothing that only looks like one.

Used by `streams.coordinator.answers` and `exports`, whose tests cover it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def a_count(value: Any) -> int:
    """Return a count. Raises ValueError for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def counts_by_name(value: Mapping[str, Any]) -> dict[str, int]:
    """Return counts by name. Raises ValueError, AttributeError."""
    return {str(name): a_count(number) for name, number in value.items()}
