"""A log as it was read, and the file that it is exported to: JSON Lines that can be checked without anything else.

    {"days":["2026-01-31"],"log":…,"newest":<note>,"org":[salt, value]?,"type":"ebbtide audit","v":1}
    {"leaf":{…},"open":[[field, place, salt, value], …]?,"proof":[<hash, base64>, …]}    each entry of the first day
    {"head":<note>}                                                                      its last head; the next day

Each line is canonical JSON, so that no byte of it can change unseen; `proof` leads from the leaf to the root of its
day's head, so that it is known which entry was changed. Pure. `streams.audit.verify` reads it back.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streams.audit.entries import ORG, Opening, canonical, read_leaf
from streams.audit.tree import Tree, leaf_hash

TYPE: Final = "ebbtide audit"
VERSION: Final = 1


@dataclass(slots=True)
class DayCopy:
    """One day's log. `leaves` are texts in order; `notes` its signed heads, the newest last."""

    day: str
    leaves: list[str] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)
    openings: dict[int, list[Opening]] = field(default_factory=dict, repr=False)

    def tree(self) -> Tree:
        """Return the tree of its leaves."""
        return Tree(leaf_hash(text.encode()) for text in self.leaves)


@dataclass(slots=True)
class LogCopy:
    """An org's log, whole days of it in order. `org` opens the log's name, None where that is not to be seen."""

    log: str
    days: list[DayCopy] = field(default_factory=list)
    org: Opening | None = None

    @property
    def newest(self) -> str:
        """The newest signed head, "" where there is none."""
        return self.days[-1].notes[-1] if self.days and self.days[-1].notes else ""


def lines_of(copy: LogCopy) -> Iterator[str]:
    """Yield the lines of an exported file, without their ends. Every day must have a head."""
    header: dict[str, Any] = {"type": TYPE, "v": VERSION, "log": copy.log, "days": [day.day for day in copy.days]}
    header["newest"] = copy.newest
    if copy.org is not None:
        header["org"] = [copy.org.salt.hex(), copy.org.value]
    yield canonical(header)
    for day in copy.days:
        tree = day.tree()
        for index, text in enumerate(day.leaves):
            yield canonical(entry_of(text, tree.inclusion(index), day.openings.get(index, ())))
        yield canonical({"head": day.notes[-1]})


def evidence_of(day: DayCopy, index: int) -> dict[str, Any]:
    """Return what proves one entry to somebody who has nothing but the key: `streams.audit.verify.check_evidence`."""
    entry = entry_of(day.leaves[index], day.tree().inclusion(index), day.openings.get(index, ()))
    return {**entry, "head": day.notes[-1]}


def entry_of(text: str, proof: Sequence[bytes], openings: Sequence[Opening]) -> dict[str, Any]:
    """Return an entry as a file has it: the leaf, its proof, and what opens its hashes."""
    leaf = read_leaf(text)
    entry: dict[str, Any] = {"leaf": leaf.members(), "proof": [base64.b64encode(step).decode() for step in proof]}
    if openings:
        ordered = sorted(openings, key=lambda o: (o.name, o.place))
        entry["open"] = [[o.name, o.place, o.salt.hex(), o.value] for o in ordered]
    return entry


def read_opening(said: Any) -> Opening:
    """Read `[field, place, salt, value]`. Raises ValueError."""
    name, place, salt, value = said
    if not (isinstance(name, str) and type(place) is int and isinstance(salt, str) and isinstance(value, str)):
        raise ValueError("an opening is field, place, salt and value")
    return Opening(name, place, bytes.fromhex(salt), value)


def org_opening(said: Any) -> Opening:
    """Read a header's `[salt, value]`. Raises ValueError."""
    salt, value = said
    return read_opening([ORG, 0, salt, value])
