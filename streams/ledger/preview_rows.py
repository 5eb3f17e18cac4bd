"""The rows of a preview: what was asked, and how far it is. Used by `previews` and `dry_run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.ledger import keys
from streams.ledger.rows import Row

BEGIN: Final = ""
PACKS: Final = "packs"
NO_DAY: Final = -1


@dataclass(frozen=True, slots=True)
class Ask(Row):
    """What was asked: `told_day` as the answer names it, `day` as it is computed with."""

    request_id: str
    epoch: int
    told_day: int
    day: int
    settings: list[dict[str, str]]


@dataclass(slots=True)
class Run(Row):
    """How far a preview is. `asked` is the log offset of its entry and names its rows, `since` that of its beginning.

    `stale`: the org has changed since. `cursor`: the key (hex) where the phase goes on, in `category`'s pair. `packs`:
    the log offset up to which packs must be sorted out. `loose`, `first` and `following`: which rows of words there
    are. `open_day` is the created day whose words the latter hold.
    """

    org: str
    asked: int
    since: int = -1
    restarts: int = 0
    stale: bool = False
    exact: bool = True
    phase: str = BEGIN
    category: str = ""
    cursor: str = ""
    packs: int = -1
    loose: int = 0
    first: int = 0
    following: int = 0
    open_day: int = NO_DAY

    @property
    def scratch(self) -> bytes:
        """The prefix of the rows that only this preview has."""
        return keys.SCRATCH + keys.u64(self.asked)

    def words(self, kind: bytes) -> bytes:
        return self.scratch + kind + keys.u32(self.restarts)

    def begin_again(self) -> None:
        self.restarts += 1
        self.stale, self.exact, self.phase, self.category, self.cursor = False, True, BEGIN, "", ""
        self.packs, self.loose, self.first, self.following, self.open_day = -1, 0, 0, 0, NO_DAY
