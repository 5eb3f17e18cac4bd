"""The broker's own files: what is in them, whatever a consumer is shown."""

from __future__ import annotations

from pathlib import Path

from tests.integration.seek import holds


class BrokerFiles:
    """The log directory of the session's broker; `stack_dir` is the fixture of that name."""

    def __init__(self, stack_dir: Path) -> None:
        self._logs = stack_dir / "kafka" / "data"
        assert self._logs.is_dir()

    def holds(self, word: bytes) -> bool:
        """Whether any segment has `word`, plain or packed; one that waits to be deleted counts."""
        return bool(self.with_word(word))

    def with_word(self, word: bytes) -> set[str]:
        """Return the partitions that have `word` in a file, as their directories are named: topic, '-', partition."""
        files = [path for path in self._logs.rglob("*") if path.is_file()]
        assert any(path.suffix == ".log" for path in files)
        return {path.parent.name for path in files if holds(_read(path), word)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # deleted meanwhile
        return b""
