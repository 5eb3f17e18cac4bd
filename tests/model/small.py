"""Small sizes, so that a model's few records reach them: segments are cut, rise through levels and are merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.ledger import merge, packs, search, segments, sheaves, sorting, sweep

MAX_SEGMENT = 24


@contextmanager
def small_sizes() -> Iterator[None]:
    """Let a segment hold at most MAX_SEGMENT records, four make a merge, twelve packs be sorted out, and a sheaf of
    sixteen be full; and let a search and the sweep take many steps, so that much moves meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MAX_SEGMENT", MAX_SEGMENT)
        patch.setattr(segments, "LEVELS", (4, 12))
        patch.setattr(segments, "FAN_IN", 4)
        patch.setattr(merge, "FAN_IN", 4)
        patch.setattr(packs, "MAX_PACKS", 12)
        patch.setattr(search, "PASSED", 1)
        patch.setattr(sweep, "SWEPT", 1)
        patch.setattr(sorting, "MIN_SEGMENT", 5)
        patch.setattr(sheaves, "MAX_RECORDS", 16)
        patch.setattr(sheaves, "LEVELS", (3, 9))
        patch.setattr(sheaves, "FAN_IN", 4)
        yield
