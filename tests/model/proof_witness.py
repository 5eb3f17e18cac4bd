"""The witness of proofs: what was acknowledged is asked about in time, never believed too soon, and erased again.

It follows each batch from its ack to the end of its proof by what targets answer, and is told which proof rows the
ledger put and dropped (`tests.model.bounds`). Called by `tests.model.witness`; raises AssertionError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.model.known import Id
from tests.model.oracle import Oracle

Name = tuple[str, str]
Order = tuple[str, str]
DAY_MS = 86_400_000
SLACK_MS = 10_000
"""So long after the bound is unknown a target is asked first."""


@dataclass(slots=True)
class Proof:
    """What went of one batch. `sure`: how many of its rows surely count for a request; `anew`: rows that were surely
    made anew when some were found again."""

    record: dict[str, Any] = field(repr=False)
    rows: list[tuple[Id, int]]
    forced: bool
    requested: bool
    since: int
    bound: int
    sure: dict[Order, int]
    must: bool
    asked_at: int = -1
    answered_at: int = -1
    ask: int = 0
    raw: bytes = b""
    out: bool = False
    gone: bool = False
    left: bool = False
    anew: set[int] = field(default_factory=set)
    ended: bool = False


class ProofWitness:
    """One partition's proofs."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.open: dict[Name, Proof] = {}
        self.verified = 0
        self.exempt = 0
        self.found = 0
        self.made_anew = 0
        self._begun: dict[Name, Proof] = {}
        self._over: dict[Name, Proof] = {}

    @property
    def _tick(self) -> int:
        return max(self.oracle._tick, 0)

    def acked(
        self, name: Name, record: dict[str, Any], rows: list[tuple[Id, int]], ack: dict[str, Any], how: dict[str, Any]
    ) -> None:
        """A batch was acknowledged, and `rows` went. `how`: forced, requested, sure."""
        percent = self.oracle.percent
        sampled = int(name[1], 16) * 100 < percent << 128
        must = sampled or how["requested"] or bool(how["sure"]) or record["reason"] == "residual"
        since, bound = self._tick, ack["gone_within_s"]
        self._begun[name] = Proof(record, rows, since=since, bound=bound, must=must and bool(rows), **how)

    def rows_changed(self, put: set[Name], dropped: list[Name]) -> Iterable[tuple[Name, Proof]]:
        """Hold which proof rows came and went; yield those that must be erased again now."""
        for name, begun in self._begun.items():
            assert name in put or not begun.must, f"batch {name} is acknowledged, and nobody proves that it is gone"
            if name in put:
                self.open[name] = begun
        self._begun = {}
        for name in dropped:
            proof = self.open.pop(name)
            if proof.left:
                yield name, proof
                continue
            assert proof.ended, f"the proof of batch {name} is dropped, and its target said last: {proof}"
            self._over[name] = proof
        late = [name for name, proof in self.open.items() if proof.ended]
        assert not late, f"the proofs of batches {late} have ended, and are kept"

    def asked(self, record: dict[str, Any], raw: bytes) -> None:
        """A target is asked about a batch."""
        name = (record["target"], record["batch_id"])
        proof = self.open.get(name)
        assert proof is not None, f"batch {name} is asked about, and there is nothing to prove"
        assert record["record_ids"] == [key[2] for key, _ in proof.rows], f"batch {name} is asked about other rows"
        assert record["action"] == proof.record["action"]
        assert not proof.left, f"batch {name} is asked about, and must be erased again"
        if proof.out:
            assert raw == proof.raw, f"batch {name} is asked about again with other bytes"
        else:
            assert record["ask"] == proof.ask + 1, f"batch {name} is asked about for the {record['ask']}th time"
            due = proof.since + max(proof.bound, 0) * 1000
            assert self._tick >= due, f"batch {name} is asked about before its bound has passed"
        proof.out, proof.ask, proof.raw, proof.asked_at = True, record["ask"], raw, self._tick
        out = sum(p.out for n, p in self.open.items() if n[0] == name[0])
        assert out <= self.oracle.room, f"{out} questions are out to {name[0]}; {self.oracle.room} is the bound"

    def answered(self, ack: dict[str, Any]) -> Proof | None:
        """Take in what a target says; return the proof if rows of it are found again."""
        proof = self.open.get((ack["target"], ack["batch_id"]))
        if proof is None or not proof.out or proof.ask != ack["ask"]:
            return None
        proof.out, proof.answered_at, proof.bound = False, self._tick, ack["gone_within_s"]
        if ack["level"] == "none" and ack["left"] > 0:
            proof.left, proof.gone, proof.anew = True, False, self._made_anew(proof)
            self.found += 1
            return proof
        if ack["level"] == "none":
            return None
        if ack["reaches"] == "deleted":
            proof.ended = True
            self.exempt += 1
        elif ack["level"] == "gone":
            passed = (
                self._tick >= proof.since + ack["gone_within_s"] * 1000 if ack["gone_within_s"] >= 0 else proof.gone
            )
            proof.ended, proof.gone = passed, True
            self.verified += passed
        elif ack["left"] > 0:
            proof.gone = False
        return None

    def spared(self, proof: Proof, ordinals: Iterable[int]) -> set[int]:
        """Hold which rows of what is found again are taken for records that were made anew; return them."""
        spared = set(ordinals)
        for n in spared:
            key, clock = proof.rows[n]
            known = any(row.at > clock for row in self.oracle.rows[key])
            assert known, f"{key} is back, and is taken for a record that was made anew: nobody made one"
        lost = (proof.anew & self._made_anew(proof)) - spared
        assert not lost, f"{[proof.rows[n] for n in lost]} are erased as if they were back: they were made anew"
        self.made_anew += len(spared)
        return spared

    def _made_anew(self, proof: Proof) -> set[int]:
        since = proof.record["as_of_day"]
        return {n for n, (key, clock) in enumerate(proof.rows) if self.oracle.surely_anew(key, clock, since)}

    def open_of(self, order: Order) -> Counter[str]:
        """Return how many rows of a request are surely not proven yet, by target."""
        found: Counter[str] = Counter()
        for (target, _), proof in self.open.items():
            found[target] += proof.sure.get(order, 0)
        return found

    def check(self) -> None:
        """Hold, in the evening of a day on which all targets answer, that nothing is forgotten."""
        for name, proof in self.open.items():
            assert not proof.left, f"rows of batch {name} are back, and are not erased again"
            assert not proof.out, f"a question about batch {name} is not answered"
            first = proof.since + (proof.bound * 1000 if proof.bound >= 0 else SLACK_MS)
            due = max(first, proof.answered_at + DAY_MS if proof.answered_at >= 0 else 0)
            assert self._tick < due, f"batch {name} is not asked about: {proof}"

    def check_ended(self, before: int) -> None:
        """Hold that every proof of what was acknowledged before tick `before` has ended."""
        late = [name for name, proof in self.open.items() if proof.since < before]
        assert not late, f"the proofs of {late[:3]} do not end: {self.open[late[0]]}"
