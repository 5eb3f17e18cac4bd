"""Free loopback ports."""

from __future__ import annotations

import random
import socket

__all__ = ["LOOPBACK", "free_port", "is_free"]

LOOPBACK = "127.0.0.1"

# Below the range that Linux takes outgoing ports from (32768-60999). A port inside it can be taken by any outgoing
# connection while its server is down, even by a client of that server: retrying on loopback, it sooner or later draws
# the very port that it calls, connects to itself, and the server cannot bind any more.
_FIRST, _LAST = 15_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a connection of an earlier run in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that nobody listens on now. Somebody else may take it before it is used: callers try again."""
    for _ in range(200):
        port = random.randrange(_FIRST, _LAST)  # noqa: S311 - spreads parallel runs, keeps no secret
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {_FIRST} and {_LAST}")
