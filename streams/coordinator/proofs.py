"""How far what an erasure has deleted is proven to be gone: summed over all shards, by target.

A target's rows are `deleted` when no query returns them, `gone` when its files have them no more, `verified` when it
was asked for them once its bound had passed. What a target can never say is not waited for: an exception, with the
level that it reaches. Pure; called by `erasures`, proven by `tests/unit/streams/coordinator/test_proofs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

COUNTS: Final = ("gone", "verified", "exempt", "residual")
"""What an answer says of a target beside what it says of acknowledgements; left out where it is 0."""


@dataclass(slots=True)
class Level:
    """One target. Rows, those `open` not acknowledged yet; `blocked_by` says in plain words what holds them back."""

    open: int = 0
    deleted: int = 0
    gone: int = 0
    verified: int = 0
    exempt: int = 0
    residual: int = 0
    blocked_by: str = ""

    def unproven(self, complete_at: str) -> int:
        """Return how many rows are not as far as they must be."""
        if complete_at == "deleted":
            return 0
        return self.deleted - self.exempt - (self.gone if complete_at == "gone" else self.verified)

    def shown(self) -> dict[str, Any]:
        """Return what a job's detail says of the target."""
        said: dict[str, Any] = {"deleted": self.deleted, "gone": self.gone, "verified": self.verified}
        if self.exempt:
            said |= {"exempt": self.exempt, "reaches": "deleted"}
        if self.residual:
            said["residual"] = self.residual
        if self.blocked_by:
            said["blocked_by"] = self.blocked_by
        return said


@dataclass(slots=True)
class Proof:
    """All targets of a job, and the level at which it is done."""

    complete_at: str
    targets: dict[str, Level] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether something is not as far as it must be."""
        return any(level.unproven(self.complete_at) > 0 for level in self.targets.values())

    def exempt(self) -> list[str]:
        """Return the targets that cannot say what is asked for, where more is asked for than they can."""
        if self.complete_at == "deleted":
            return []
        return [name for name, level in sorted(self.targets.items()) if level.exempt]

    def held_up(self) -> str:
        """Say which targets cannot erase now and why, in words; "" where none has said so."""
        named = [(name, level) for name, level in sorted(self.targets.items()) if level.open and level.blocked_by]
        return "; ".join(f"{name}: {level.open} ({level.blocked_by})" for name, level in named)

    def waits(self) -> str:
        """Say what is waited for, in words."""
        words = []
        for name, level in sorted(self.targets.items()):
            n = level.unproven(self.complete_at)
            if n > 0:
                why = level.blocked_by or "until its bound has passed"
                words.append(f"{name}: {n} of {level.deleted} ({why})")
        return "; ".join(words)


def sum_up(answers: Iterable[Mapping[str, Any]], complete_at: str) -> Proof:
    """Return how far all shards are together."""
    proof = Proof(complete_at)
    for answer in answers:
        for name, said in answer.get("targets", {}).items():
            level = proof.targets.setdefault(name, Level())
            level.deleted += said["done"]
            level.open += max(0, said["due"] - said["done"] - said["withheld"])
            for count in COUNTS:
                setattr(level, count, getattr(level, count) + said.get(count, 0))
            level.blocked_by = level.blocked_by or said.get("blocked_by", "")
    return proof
