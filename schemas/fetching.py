"""How long a fetch that finds nothing waits at the broker, for every consumer of ours.

A client has one fetch under way with each broker, and leaves out of it the partitions of which it holds enough. While
that fetch waits because the others are at their ends, those that were left out get nothing either, however much there
is of them: with the half second of librdkafka, or the second and a half of Faust, a gateway stood still for a third of
its time. `docs/gateway.md` has the figures.
"""

from __future__ import annotations

from typing import Final

WAIT_MS: Final = 50
