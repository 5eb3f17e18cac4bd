"""How long a fetch that finds nothing waits at the broker, for every consumer of ours.

A client has one fetch under way with each broker, and leaves out of it the partitions of which it holds enough. While
that fetch waits because the others are at their ends, those that were left out get nothing either, however much there
is of them: half a second with librdkafka's setting, a second and a half with Faust's. `docs/profiles.md` has what a
shorter wait brought.
"""

from __future__ import annotations

from typing import Final

WAIT_MS: Final = 50
