"""How long a checkpoint gathers entries before it is closed. Pure; moments are seconds of one monotonic clock.

A transaction costs the broker milliseconds, however little is in it, so what nobody waits for shares one
(docs/lane.md, *Pace*). Asked by `streams.lane.lane`; `tests/unit/streams/lane/test_pace.py` says what it promises.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.lane.spec import CheckpointLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a checkpoint has so far.

    `began`: since when it gathers; `idle`: whether all of it only says that time goes on; `sends`: whether it sends
    anything; `awaited`: whether another lane, a step of its own or somebody outside waits for that.
    """

    began: float
    idle: bool
    sends: bool
    awaited: bool


def ends(limits: CheckpointLimits, gathered: Gathered) -> float:
    """Return when it is closed though more comes."""
    longest = limits.linger_s if gathered.sends else max(limits.linger_s, _unseen_s(limits, gathered))
    return gathered.began + longest


def rests_until(limits: CheckpointLimits, gathered: Gathered, *, last: float, now: float) -> float:
    """Return until when it is kept open though nothing comes; the one before was closed at `last`."""
    if gathered.awaited:
        return gathered.began
    if gathered.sends:
        return last + limits.pace_s
    if gathered.idle:
        return last + limits.idle_s
    return min(last + limits.rest_s, now + limits.still_s)


def _unseen_s(limits: CheckpointLimits, gathered: Gathered) -> float:
    """How long one that sends nothing may gather: nobody can see it."""
    return limits.idle_s if gathered.idle else limits.rest_s
