"""What a runner tells its surroundings, for metrics. Called in the runner's own threads; none may block or raise."""

from __future__ import annotations

from typing import Protocol

from sinks.base import Upkeep
from sinks.batch import Receipt
from sinks.gone import Bound
from sinks.hiding import Hidden


class RunnerHooks(Protocol):
    """Callbacks of one target's runner."""

    def on_applied(self, receipts: int, records: int, seconds: float) -> None:
        """Batches and their records went through the store in one transaction of `seconds`."""
        ...

    def on_receipt(self, receipt: Receipt) -> None:
        """A batch is acknowledged: the transaction with its ack is committed."""
        ...

    def on_hidden(self, action: str, hidden: Hidden) -> None:
        """An order of `sinks.hiding` is acknowledged: the transaction with its ack is committed."""
        ...

    def on_verified(self, level: str, left: int | None) -> None:
        """A store was asked about a batch, and said `level`: `none`, `deleted` or `gone`; `left` None: unknown.

        Copies that are `left` at level `none` are back, or never went.
        """
        ...

    def on_upkeep(self, upkeep: Upkeep) -> None:
        """A round of upkeep is done, its records committed; most rounds have nothing to do."""
        ...

    def on_bound(self, bound: Bound) -> None:
        """The store has said by when erased bytes are gone, and what holds that back now."""
        ...

    def on_retry_asked(self) -> None:
        """An outside service asked for a batch again."""
        ...

    def on_unavailable(self, why: str, retry_in_s: float) -> None:
        """The store did not answer; the batches are kept."""
        ...

    def on_up(self) -> None:
        """The store answered."""
        ...

    def on_dead_letter(self, reason: str) -> None:
        """A message went to the dead letters: `undecodable`, `no_plan`, `other_target`, `cannot_open`,
        `malformed_answer`."""
        ...

    def on_answer_dropped(self, reason: str) -> None:
        """An outside service's answer was not used: `unknown` or `duplicate`."""
        ...


class NoHooks:
    """Nobody listens."""

    def on_applied(self, receipts: int, records: int, seconds: float) -> None: ...

    def on_receipt(self, receipt: Receipt) -> None: ...

    def on_hidden(self, action: str, hidden: Hidden) -> None: ...

    def on_verified(self, level: str, left: int | None) -> None: ...

    def on_upkeep(self, upkeep: Upkeep) -> None: ...

    def on_bound(self, bound: Bound) -> None: ...

    def on_retry_asked(self) -> None: ...

    def on_unavailable(self, why: str, retry_in_s: float) -> None: ...

    def on_up(self) -> None: ...

    def on_dead_letter(self, reason: str) -> None: ...

    def on_answer_dropped(self, reason: str) -> None: ...
