"""What `ebbtide doctor` says: one thing looked at. Made by `ops.doctor` and the modules beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "watch", "mend"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `text` says what was seen and, unless all is well, what to do."""

    level: Level
    what: str
    text: str
