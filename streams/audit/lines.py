"""The lines of an exported file, read one by one: each must be written as we write it, and its values must fit.

Nothing here knows of other lines; `streams.audit.verify` puts them together.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.audit.copies import TYPE, VERSION, org_opening, read_opening
from streams.audit.entries import BadLeaf, Leaf, canonical, read_leaf
from streams.audit.faults import FLIPPED, Tampered
from streams.audit.note import Checkpoint
from streams.audit.tree import includes, leaf_hash

ENTRY: Final = '{"leaf":'
"""How the line of an entry begins."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry's line, as far as it can be read."""

    leaf: Leaf
    proof: Sequence[bytes]
    opened: Any

    def is_at(self, head: Checkpoint) -> bool:
        """Whether it is the entry at its own index under this head."""
        raw = self.leaf.text().encode()
        return includes(leaf_hash(raw), self.leaf.index, head.size, self.proof, head.root)


def read_header(text: str) -> dict[str, Any]:
    said = read_json(text)
    days = said.get("days") if said is not None else None
    fine = (
        said is not None
        and said.get("type") == TYPE
        and type(said.get("v")) is int  # true is 1 to Python
        and said["v"] == VERSION
        and set(said) - {"org"} == {"type", "v", "log", "days", "newest"}
        and isinstance(said["log"], str)
        and isinstance(days, list)
        and bool(days)
        and all(isinstance(day, str) for day in days)
        and sorted(set(days)) == days
    )
    if not fine or said is None:
        raise Tampered("", 0, FLIPPED, "its first line is not that of an exported log")
    return said


def opened_org(header: Mapping[str, Any]) -> str | None:
    if "org" not in header:
        return None
    try:
        opening = org_opening(header["org"])
        if opening.hash() == header["log"] and header["org"][0] == opening.salt.hex():
            return opening.value
    except (ValueError, TypeError):
        pass
    raise Tampered("", 0, FLIPPED, "its first line names another org than its log's")


def read_entry(text: str, day: str, index: int) -> Line:
    said = read_json(text)
    try:
        if said is None or set(said) - {"open"} != {"leaf", "proof"} or said.get("open", []) is None:
            raise BadLeaf("it is not the line of an entry")
        proof = [base64.b64decode(step, validate=True) for step in said["proof"]]
        if [base64.b64encode(step).decode() for step in proof] != said["proof"]:
            raise BadLeaf("its proof is not written as proofs are")
        return Line(read_leaf(canonical(said["leaf"])), proof, said.get("open"))
    except (BadLeaf, ValueError, TypeError, binascii.Error):
        raise Tampered(day, index, FLIPPED, "it cannot be read") from None


def check_openings(line: Line, day: str, index: int) -> None:
    """Raises Tampered unless each value is what its hash in the leaf stands for."""
    if line.opened is None:
        return
    try:
        openings = [read_opening(one) for one in line.opened]
        places = [(opening.name, opening.place) for opening in openings]
        again = [[o.name, o.place, o.salt.hex(), o.value] for o in openings]
        hashes = [line.leaf.sealed[name][place] for name, place in places if place >= 0]
        fine = bool(places) and sorted(set(places)) == places and again == line.opened
        fine = fine and hashes == [opening.hash() for opening in openings]
    except (ValueError, TypeError, KeyError, IndexError):
        fine = False
    if not fine:
        raise Tampered(day, index, FLIPPED, "a value is not the one that its hash stands for")


def read_json(text: str) -> dict[str, Any] | None:
    """Return the object of a line, None unless it is written in the one form; half a surrogate pair has none."""
    try:
        said = json.loads(text)
        fine = isinstance(said, dict) and canonical(said) == text and bool(text.encode())
    except (ValueError, RecursionError):
        return None
    return said if fine else None
