"""What backups still hold of what a job has erased, and until when: as the data map says, since nobody can be asked.

A target's `backups.keep_days` count from when its last row was acknowledged: a backup that was made just before then
has it. Where the map says nothing, nothing is known. Called by `erasures`, told in the job's detail and in its
certificate; `tests/unit/streams/coordinator/test_backups.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.rules import Rules
from schemas.topics import DAY_MS
from streams.coordinator.proofs import Proof


def noted(before: Mapping[str, Any], proof: Proof, rules: Rules, now_ms: int) -> dict[str, Any]:
    """Return what is told of each target that has erased something: None where the map says nothing of backups.

    `before` is what was told last: a target's end stands unless more, or the same again, was erased since.
    """
    found: dict[str, Any] = {}
    for name, level in sorted(proof.targets.items()):
        said, told = rules.backups.get(name), before.get(name)
        if not level.deleted:
            continue
        if said is None:
            found[name] = None
        elif told is not None and told["records"] == level.deleted:
            found[name] = told
        else:
            until = now_ms + said.keep_days * DAY_MS
            found[name] = {"keep_days": said.keep_days, "note": said.note, "records": level.deleted, "until": until}
    return found


def exceptions(told: Mapping[str, Any], at_ms: int) -> Iterator[dict[str, Any]]:
    """Yield what a certificate of `at_ms` must name: backups that hold what their store has erased, and their end."""
    for name, one in sorted(told.items()):
        if one is not None and one["until"] > at_ms:
            yield {"what": "backups", "target": name, "records": one["records"], "until": one["until"]}
