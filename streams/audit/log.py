"""One org's log, as its sequencer keeps it: gives each intent its day and index, and makes the heads to be signed.

    intent, broker's time ─▶ add ─▶ [the day's first leaf, naming the head before it,] the leaf
                                     head ─▶ checkpoint of the day so far

A day is UTC, by the broker's time, and never goes back. Each day is a tree of its own whose leaf 0 holds size and root
of the one before, so a head vouches for all days up to it, and old days can be let go as a whole. Pure but for the
salts that `draw` gives. Used by `streams.auditor`; `tests/unit/streams/audit/test_log.py` says what it promises.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.errors import Halt
from streams.audit.entries import DAY_MS, ORG, Leaf, Opening, day_text, make_leaf, seal
from streams.audit.intents import intent
from streams.audit.note import BadNote, Checkpoint, NoteKey, open_note
from streams.audit.tree import HASH_BYTES, Frontier, leaf_hash

NAME: Final = "ebbtide.audit"
"""Who signs heads, and what origins begin with."""


def head_key(public_key: bytes) -> NoteKey:
    """Return what heads are checked with: the auditor's public Ed25519 key of 32 bytes. Raises BadKey."""
    return NoteKey(NAME, public_key)


class BadState(Halt):
    """What the auditor wrote down about a log contradicts the head that it signed: somebody else wrote there."""


@dataclass(frozen=True, slots=True)
class Added:
    """A leaf that was added, what opens its hashes, and its proof in a tree of which it is the last."""

    leaf: Leaf
    text: str
    hash: bytes
    proof: tuple[bytes, ...]
    openings: list[Opening] = field(repr=False)


def origin_of(log: str, day: str) -> str:
    """Return the origin of a day's log."""
    return f"{NAME}/{log}/{day}"


@dataclass(slots=True)
class OrgLog:
    """Where a log stands. `day` is -1 before its first entry; `note` is its newest signed head."""

    org: str
    salt: bytes = field(repr=False)
    day: int = -1
    tree: Frontier = field(default_factory=Frontier)
    note: str = ""
    log: str = ""

    def __post_init__(self) -> None:
        self.log = seal(ORG, self.salt, self.org)

    def add(self, said: Mapping[str, Any], at: int, draw: Callable[[], bytes]) -> list[Added]:
        """Add an `AuditIntent` that the broker has since `at` (ms). Raises BadLeaf: nothing was added."""
        day = max(self.day, at // DAY_MS)
        fresh = day != self.day
        index = 1 if fresh else self.tree.size
        leaf, openings = make_leaf(said, log=self.log, day=day, index=index, at=at, draw=draw)
        added = [self._begin(day, at)] if fresh else []
        return [*added, self._append(leaf, openings)]

    def head(self) -> Checkpoint:
        """Return the head as it is now."""
        return Checkpoint(origin_of(self.log, day_text(self.day)), self.tree.size, self.tree.root())

    def _begin(self, day: int, at: int) -> Added:
        before = None
        if self.day >= 0:
            root = base64.b64encode(self.tree.root()).decode()
            before = {"day": day_text(self.day), "size": self.tree.size, "root": root}
        self.day, self.tree = day, Frontier()
        said = intent("begin", self.org, {"previous": before})
        leaf, _ = make_leaf(said, log=self.log, day=day, index=0, at=at, draw=bytes)
        return self._append(leaf, [])

    def _append(self, leaf: Leaf, openings: list[Opening]) -> Added:
        text = leaf.text()
        proof = tuple(reversed(self.tree.roots))  # RFC 9162, 2.1.3: all that stands to the left of the last leaf
        added = Added(leaf, text, leaf_hash(text.encode()), proof, openings)
        self.tree.append(added.hash)
        return added

    def record(self) -> dict[str, Any]:
        """Return it as an `AuditLog` record."""
        return {
            "org": self.org,
            "salt": self.salt,
            "day": self.day,
            "size": self.tree.size,
            "frontier": b"".join(self.tree.roots),
            "note": self.note,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any], key: NoteKey) -> OrgLog:
        """Read `record()`'s form. Raises BadState: it is not what `key` has signed."""
        raw: bytes = record["frontier"]
        try:
            roots = [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]
            log = cls(record["org"], record["salt"], record["day"], Frontier(record["size"], roots), record["note"])
            signed = open_note(log.note, key)
        except (ValueError, BadNote) as error:
            raise BadState(f"the state of an audit log cannot be believed: {error}") from None
        if signed != log.head():
            raise BadState("the state of an audit log is not that of the head which was signed for it")
        return log
