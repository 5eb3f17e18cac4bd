"""What a service remembers in its directory between runs: its ports, its cluster id, its password."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from ops.local.ports import free_port, is_free

__all__ = ["State"]


class State:
    """A small JSON file, readable by its owner only, replaced whole."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "state.json"

    def read(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}

    def write(self, values: dict[str, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)

    def get(self, name: str) -> str | None:
        return self.read().get(name)

    def put(self, name: str, value: str) -> str:
        self.write({**self.read(), name: value})
        return value

    def secret(self, name: str) -> str:
        """The password of that name, made at random when first asked for."""
        return self.get(name) or self.put(name, secrets.token_urlsafe(18))

    def port(self, name: str) -> int:
        """The port of the last run if it is still free, so that clients find the service again; else a new one."""
        last = self.get(name)
        if last is not None and is_free(int(last)):
            return int(last)
        return int(self.put(name, str(free_port())))
