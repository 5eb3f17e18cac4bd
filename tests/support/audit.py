"""Logs of the audit for tests: two days of one org, sequenced and signed as the auditor does it."""

from __future__ import annotations

from itertools import count
from typing import Any

from ebbtide.envelope import public_key_of
from streams.audit.copies import DayCopy, LogCopy
from streams.audit.entries import DAY_MS, ORG, Opening
from streams.audit.intents import intent
from streams.audit.log import NAME, OrgLog
from streams.audit.note import NoteKey, sign_note

SEED, OTHER_SEED = b"a" * 32, b"b" * 32
KEY = NoteKey(NAME, public_key_of(SEED))
START = 20_600
"""The first day."""


def batch(number: int) -> dict[str, Any]:
    facts = {"batch": f"{number:032x}", "target": "crm", "category": "messages", "records": 1000 + number}
    return intent("batch", "acme", facts, request=["case of ada@example.org"] if number % 3 == 0 else [])


def job(number: int) -> dict[str, Any]:
    facts = {"kind": "erase", "state": "planning", "reason": "", "from": "requested"}
    people = [f"{1000 + number:016x}", f"{2000 + number:016x}"]
    return intent("job", "acme", facts, request=[f"r-{number}"], requester=["ann-lee"], subject=people)


class Written:
    """A log that is being written; `copy` is what anybody would read of it."""

    def __init__(self, org: str = "acme", *, salt: bytes = b"s" * 32, seed: bytes = SEED, fresh: int = 0) -> None:
        self.log = OrgLog(org, salt)
        self.copy = LogCopy(self.log.log, [], Opening(ORG, 0, salt, org))
        self._seed = seed
        self._salts = count(fresh)

    def draw(self) -> bytes:
        return next(self._salts).to_bytes(32, "big")

    def add(self, day: int, *intents: dict[str, Any]) -> Written:
        """Add intents of one day and sign a head behind them, as one transaction of the auditor does."""
        for n, said in enumerate(intents):
            for added in self.log.add(said, (START + day) * DAY_MS + n, self.draw):
                if added.leaf.index == 0:
                    self.copy.days.append(DayCopy(added.leaf.day))
                self.copy.days[-1].leaves.append(added.text)
                if added.openings:
                    self.copy.days[-1].openings[added.leaf.index] = added.openings
        self.log.note = sign_note(self.log.head(), NAME, self._seed)
        self.copy.days[-1].notes.append(self.log.note)
        return self


def three_days(**how: Any) -> Written:
    """Return a log of three days, a day without entries between them."""
    written = Written(**how).add(0, job(1)).add(0, *(batch(n) for n in range(5)))
    written.add(1, job(2), batch(5)).add(1, *(batch(n) for n in range(6, 17)))
    return written.add(3, batch(17), batch(18)).add(3, job(3), batch(19))
