"""How long a fetch that finds nothing waits at the broker, for our consumers of several partitions.

A client has one fetch under way with each broker, and leaves out of it the partitions of which it holds enough. While
that fetch waits because the others are at their ends, those that were left out get nothing either, however much there
is of them: half a second with librdkafka's setting, a second and a half with Faust's. `docs/profiles.md` has what a
shorter wait brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WAIT_MS: Final = 50
"""Of who reads a topic to its end and goes, or whose progress others wait for."""
CALM_WAIT_MS: Final = 250
"""Of who stays for weeks and mostly waits: with the shorter one, sixteen such clients of an engine without work cost
its broker a quarter of a core. What comes for any of its partitions still ends the fetch at once."""
BULK: Final[Mapping[str, int]] = {"fetch.queue.backoff.ms": 5, "fetch.wait.max.ms": WAIT_MS}
"""librdkafka's options for who reads much: by default a full queue is looked at again only after a second."""
CALM_BULK: Final[Mapping[str, int]] = {**BULK, "fetch.wait.max.ms": CALM_WAIT_MS}
"""The same for who reads much now and then."""
