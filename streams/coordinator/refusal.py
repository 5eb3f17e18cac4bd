"""A request that is refused: a code of `schemas.jobs.REASONS`, and the same in plain words with what to do.

Raised by every handler of a kind before it has changed anything; caught by `streams.coordinator.requests`.
"""

from __future__ import annotations

from schemas.errors import Reject


class No(Reject):
    """The request is refused."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason, self.text = reason, text
