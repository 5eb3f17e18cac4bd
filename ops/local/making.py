"""Makes a part of the local stack once, for all checkouts and processes of this user.

Used by `ops.local.install` and `ops.local.kafka.archive`; `tests/unit/ops/local/test_install.py` says what it promises.
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["making"]


@contextlib.contextmanager
def making(place: Path) -> Iterator[Path | None]:
    """A temporary directory on the same file system, held under the part's lock; None when another made the part."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as temporary:
            yield Path(temporary)
