"""More people than one request may name, as several requests that are known by their ids.

    1000 ids a request: BASE-0001-9f2c41d0, BASE-0002-…

Each is a job of its own, so that one that is refused or waits for approval holds up no other. The same people under the
same base again are the same requests. An id ends with a keyed hash of what is asked for whom, so that other people
under the same base never pass for those who were erased before. Pure; the doors are `ops.cli.bulk` and `ops.api.bulk`;
`tests/unit/ops/test_bulk.py` says what it promises.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ebbtide.envelope import MAX_SUBJECTS


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request: its id, and the people that it names."""

    request_id: str
    people: Sequence[str] = field(repr=False)


def chunked(key: bytes, org: str, body: Mapping[str, Any], people: Sequence[str], *, base: str) -> list[Chunk]:
    """Return the requests that ask `body` for `people`, in their order. `key` is secret: ids say nothing of anybody."""
    groups = [people[i : i + MAX_SUBJECTS] for i in range(0, len(people), MAX_SUBJECTS)]
    return [Chunk(f"{base}-{n:04d}-{_mark(key, org, body, group)}", group) for n, group in enumerate(groups, 1)]


def _mark(key: bytes, org: str, body: Mapping[str, Any], people: Sequence[str]) -> str:
    """Return 8 hex digits that tell requests apart and say nothing of who is named in them."""
    said = {name: value for name, value in body.items() if name != "through"}  # a moment of fast clocks
    text = json.dumps(["ebbtide bulk v1", org, said, list(people)], sort_keys=True)
    return hmac.digest(key, text.encode(), "sha256").hex()[:8]
