"""What the auditor tells its surroundings, for metrics. Called in its own thread; none may block or raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class AuditorHooks(Protocol):
    """Callbacks of one auditor."""

    def on_ready(self) -> None:
        """The group has let us in, and what is ours is restored."""
        ...

    def on_entries(self, kinds: Mapping[str, int], heads: int, newest_ms: int, seconds: float) -> None:
        """Entries are committed: how many of each kind, heads signed, the broker's time of the newest intent."""
        ...

    def on_lag(self, intents: int) -> None:
        """So many intents wait, as far as is known."""
        ...

    def on_dead_letter(self) -> None:
        """An intent can never become an entry."""
        ...


class NoHooks:
    """Nobody listens."""

    def on_ready(self) -> None: ...

    def on_entries(self, kinds: Mapping[str, int], heads: int, newest_ms: int, seconds: float) -> None: ...

    def on_lag(self, intents: int) -> None: ...

    def on_dead_letter(self) -> None: ...
