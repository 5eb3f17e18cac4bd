"""Entries: the bytes of a leaf, and the salted hashes in it of what must not be read there.

    leaf         canonical JSON (RFC 8785) of v, log, day, index, at, kind, facts, sealed
    sealed       field ─▶ hashes in order; each is SHA-256("ebbtide audit value v1\\0" + salt + field + "\\0" + value)
    Opening      field, place in its list, salt, value: kept apart; without it nobody can find the value by trying

The log's own name is such a hash, of the org. A salt is 32 random bytes and belongs to one value of one entry, so what
is destroyed unlinks exactly that, and the leaf's bytes, hence every proof, stay as they are. Pure. Used by
`streams.audit.log` and `streams.audit.verify`; `tests/unit/streams/audit/test_entries.py` says what it promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from streams.audit.intents import FIELDS, KINDS

VERSION: Final = 1
DOMAIN: Final = b"ebbtide audit value v1\0"
SALT_BYTES: Final = 32
MAX_LEAF_BYTES: Final = 1 << 20
ORG: Final = "org"
"""The field under which the log's name hides its org."""
DAY_MS: Final = 86_400_000


class BadLeaf(ValueError):
    """Text is not the leaf of an entry as we write them."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a hash in a leaf stands for: value number `place` of the field `name`."""

    name: str
    place: int
    salt: bytes = field(repr=False)
    value: str = field(repr=False)

    def hash(self) -> str:
        """Return the hash that a leaf must have there."""
        return seal(self.name, self.salt, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One entry as it is in the log. `at`: the broker's time of its intent, ms since the epoch."""

    log: str
    day: str
    index: int
    at: int
    kind: str
    facts: Mapping[str, Any]
    sealed: Mapping[str, Sequence[str]]

    def members(self) -> dict[str, Any]:
        """Return the leaf's members."""
        return {
            "v": VERSION,
            "log": self.log,
            "day": self.day,
            "index": self.index,
            "at": self.at,
            "kind": self.kind,
            "facts": self.facts,
            "sealed": self.sealed,
        }

    def text(self) -> str:
        """Return the leaf: its UTF-8 is what is hashed."""
        return canonical(self.members())


def canonical(value: Any) -> str:
    """Return JSON in the one form of RFC 8785. It knows what facts hold: no fractions, member names in ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def seal(name: str, salt: bytes, value: str) -> str:
    """Return the salted hash of a value, 64 hex digits."""
    if len(salt) != SALT_BYTES:
        raise BadLeaf(f"a salt has {SALT_BYTES} bytes")
    return sha256(DOMAIN + salt + name.encode() + b"\0" + value.encode()).hexdigest()


def day_text(number: int) -> str:
    """Return a day since the epoch as `2026-01-31`."""
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def make_leaf(
    intent: Mapping[str, Any], *, log: str, day: int, index: int, at: int, draw: Callable[[], bytes]
) -> tuple[Leaf, list[Opening]]:
    """Return the leaf of an `AuditIntent`, and what opens its hashes. `draw` gives 32 random bytes. Raises BadLeaf."""
    facts = _facts(intent["facts"])
    openings: list[Opening] = []
    sealed: dict[str, list[str]] = {}
    for one in intent["sealed"]:
        if one["field"] not in FIELDS:
            raise BadLeaf("it seals what has no name here")
        hashes = sealed.setdefault(one["field"], [])
        opening = Opening(one["field"], len(hashes), draw(), one["value"])
        hashes.append(opening.hash())
        openings.append(opening)
    if intent["kind"] not in KINDS:
        raise BadLeaf("it is of no known kind")
    leaf = Leaf(log=log, day=day_text(day), index=index, at=at, kind=intent["kind"], facts=facts, sealed=sealed)
    if len(leaf.text().encode()) > MAX_LEAF_BYTES:
        raise BadLeaf(f"it has more than {MAX_LEAF_BYTES} bytes")
    return leaf, openings


def read_leaf(text: str) -> Leaf:
    """Read a leaf that `Leaf.text` wrote, and nothing else. Raises BadLeaf."""
    try:
        said = json.loads(text)
        leaf = Leaf(**{name: said[name] for name in ("log", "day", "index", "at", "kind", "facts", "sealed")})
        whole = type(leaf.index) is int and type(leaf.at) is int and isinstance(leaf.day, str)
        if not whole or said["v"] != VERSION or leaf.text() != text:
            raise BadLeaf("it is not written as a leaf is")
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadLeaf("it is not the leaf of an entry") from None
    return leaf


def _facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction)
    except (ValueError, RecursionError):
        raise BadLeaf("its facts are no JSON of texts and whole numbers") from None
    if not isinstance(facts, dict):
        raise BadLeaf("its facts are no JSON object")
    return facts


def _no_fraction(_: str) -> None:
    raise ValueError
