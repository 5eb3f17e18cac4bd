"""Who is measured, by name, in the order of the first round."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ops.bench.contender import ContenderFactory
from ops.bench.ebbtide import Ebbtide
from ops.bench.results import BATCHED, PEER, SUBJECT
from ops.bench.streams_peer import StreamsPeer


def all_contenders(cache_dir: Path) -> dict[str, ContenderFactory]:
    """Return the factory of each contender; peers are built into `cache_dir`.

    BATCHED is the same program as SUBJECT: what it reads makes the difference.
    """
    return {SUBJECT: Ebbtide, BATCHED: Ebbtide, PEER: partial(StreamsPeer, cache_dir=cache_dir)}
