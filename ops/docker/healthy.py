"""Whether the role that serves these metrics says that it is ready; the health check of its container.

healthy.py http://127.0.0.1:9464/metrics — exit 0 if `ebbtide_ready` is 1, else 1. Standard library only.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request


def is_ready(metrics: str) -> bool:
    """Whether the text, in Prometheus' format, holds the ready gauge of a role at 1."""
    return re.search(r"^ebbtide_ready\{[^}]*\} 1(\.0)?$", metrics, re.MULTILINE) is not None


def main(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=4) as answer:  # noqa: S310 - the address is compose's own
            return 0 if is_ready(answer.read().decode()) else 1
    except (OSError, urllib.error.URLError) as why:
        print(f"{address} does not answer: {why}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
