"""What a running API works with, as one value that its routes find."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ops.api.calls import CallLog
from ops.api.door import Door
from ops.api.files import Files
from ops.api.identity import Identities
from ops.api.limits import Limits
from ops.api.problems import Problem
from ops.api.reads import Reader
from ops.api.tokens import Tokens
from ops.metrics import Metrics
from schemas.rules import Rules


@dataclass(slots=True)
class RulesInForce:
    """The rules of the moment; whoever watches the topic puts newer ones here."""

    newest: Rules | None = None

    @property
    def now(self) -> Rules:
        """The rules. Raises Problem, `unavailable`, where there are none yet."""
        if self.newest is None:
            raise Problem("unavailable", detail="The engine has no rules yet.", headers={"Retry-After": "5"})
        return self.newest

    def sealing_key(self) -> bytes:
        """Return the public key for subject ids, 32 bytes. Raises Problem, `unavailable`."""
        return bytes.fromhex(self.now.sealing_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Made once by `ops.api.serve`."""

    tokens: Tokens
    identities: Identities
    limits: Limits
    reader: Reader
    door: Door
    rules: RulesInForce
    files: Files
    calls: CallLog
    metrics: Metrics
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the role ends: streams end then."""
