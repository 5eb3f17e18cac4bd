"""What the lane tells its surroundings: metrics, traces, and the crash points of the tests.

`on_ready` says that an assignment, which may be empty, is restored and runs. `on_restore` and `on_step` are called in
the lane's own thread, the others in the event loop; none may block. An exception in a hook ends the worker like any
other unexpected error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from streams.lane.exits import ExitCode


class Step(Enum):
    """The points of one checkpoint, in order. Told before what it names happens, `DONE` after all of it."""

    BEGIN = "begin"
    PRODUCE = "produce"
    OFFSETS = "offsets"
    COMMIT = "commit"
    WRITE = "write"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStats:
    """One committed checkpoint.

    `rows` are changelog records, `bytes` those of rows and sends together; `seconds` runs from the first entry's
    arrival to the local write. `newest_log_ms` is the broker's append time of its last entry (ms since the epoch); a
    checkpoint of the position alone has neither entries nor repeats, and 0 there.
    """

    partition: int
    entries: int
    repeats: int
    sends: int
    rows: int
    bytes: int
    seconds: float
    newest_log_ms: int


class LaneHooks(Protocol):
    """Callbacks of one worker."""

    def on_restore(self, partition: int, rows: int, seconds: float) -> None: ...

    def on_ready(self, partitions: Sequence[int]) -> None: ...

    def on_checkpoint(self, stats: CheckpointStats) -> None: ...

    def on_step(self, partition: int, step: Step) -> None: ...

    def on_halt(self, code: ExitCode, text: str) -> None: ...


class NoHooks:
    """Nobody listens."""

    def on_restore(self, partition: int, rows: int, seconds: float) -> None: ...

    def on_ready(self, partitions: Sequence[int]) -> None: ...

    def on_checkpoint(self, stats: CheckpointStats) -> None: ...

    def on_step(self, partition: int, step: Step) -> None: ...

    def on_halt(self, code: ExitCode, text: str) -> None: ...
