"""What the exporter tells its surroundings, for metrics. Called in its own thread; none may block or raise."""

from __future__ import annotations

from typing import Protocol

from streams.exporter.manifest import Part


class ExporterHooks(Protocol):
    """Callbacks of one exporter."""

    def on_ready(self) -> None:
        """The bucket answers and the group has let us in."""
        ...

    def on_part(self, part: Part, seconds: float) -> None:
        """A part is written, and committed."""
        ...

    def on_archive(self, step: str) -> None:
        """A `manifest` or an expiry (`expire`) is committed."""
        ...

    def on_unavailable(self, target: str) -> None:
        """A store, or the bucket (its `SINK` name), did not answer; the work waits."""
        ...

    def on_dead_letter(self) -> None:
        """A message can never be carried out."""
        ...


class NoHooks:
    """Nobody listens."""

    def on_ready(self) -> None: ...

    def on_part(self, part: Part, seconds: float) -> None: ...

    def on_archive(self, step: str) -> None: ...

    def on_unavailable(self, target: str) -> None: ...

    def on_dead_letter(self) -> None: ...
