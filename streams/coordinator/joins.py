"""Requests for what is being erased already: which erasure under way is of the same people and categories.

Only the newest of them is known, and only while its job has not ended: after that a request is a pass of its own again,
which finds what came since. Called by `streams.coordinator.erasures`, whose tests say what it promises.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from streams.coordinator import keys
from streams.coordinator.rows import Erasure, Job
from streams.coordinator.work import Work

REF_DIGITS: Final = 16
MOST: Final = 100
"""Requests that join one: each answer of a shard is told to all of them in one entry."""


def refs_of(refs: str) -> list[str]:
    """Return the references of a row, 8 bytes each in hex, in their order."""
    return [refs[i : i + REF_DIGITS] for i in range(0, len(refs), REF_DIGITS)]


def begin(work: Work, name: str, row: Erasure) -> None:
    """Let later requests for the same join this one."""
    work.store.put(_key(name, row), row.request_id.encode())


def end(work: Work, name: str, row: Erasure) -> None:
    """Let no more requests join this one."""
    key = _key(name, row)
    if work.store.get(key) == row.request_id.encode():
        work.store.delete(key)


def find(work: Work, name: str, row: Erasure) -> tuple[Job, Erasure] | None:
    """Return the job and barrier under way that does all of what `row` asks for; None: there is none."""
    raw = work.store.get(_key(name, row))
    if raw is None:
        return None
    first, job = work.erasure(name, raw.decode()), work.job(name, raw.decode())
    if first is None or job is None or job.ended or first.through < row.through or len(first.joined) >= MOST:
        return None
    return job, first


def _key(name: str, row: Erasure) -> bytes:
    said = json.dumps([sorted(set(refs_of(row.refs))), sorted(row.categories)])
    return keys.of(keys.SAME, name, hashlib.blake2b(said.encode(), digest_size=16).hexdigest())
