"""By when erased bytes leave each target, and whether that is soon enough. Reads only.

Used by `ops.doctor`; `tests/unit/ops/test_doctor_gone.py` says what is judged how, `tests/integration/test_commands.py`
asks real stores.
"""

from __future__ import annotations

import math
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ops.finding import Finding
from ops.settings import Settings
from schemas.datamap import DataMap
from schemas.errors import EbbtideError
from schemas.topics import Topics
from sinks.build import SinkSettings, build_sink
from sinks.gone import GONE, Bound, Unknown

MOST_S: Final = 7 * 86_400.0
"""Erased bytes leave every store within seven days of the acknowledgement."""


def gone_findings(settings: Settings, data_map: DataMap, target: str) -> Iterator[Finding]:
    """Ask a target for its bound, and judge it."""
    own = SinkSettings(
        bootstrap=settings.kafka_bootstrap,
        topics=Topics(settings.prefix),
        directory=Path(tempfile.gettempdir()),  # nothing is written there: only a runner keeps files
        master=secrets.token_bytes(32),  # nothing is hashed or answered either
    )
    try:
        sink = build_sink(data_map, target, own)
        try:
            yield from judge_bound(target, sink.bound())
        finally:
            sink.close()
    except EbbtideError as e:
        yield Finding("mend", f"gone {target}", str(e))


def judge_bound(target: str, bound: Bound) -> Iterator[Finding]:
    """Say what a bound means. Pure; what is not known is no promise, and what nothing bounds is to be mended."""
    what, within = f"gone {target}", bound.gone_within_s
    if isinstance(within, Unknown):
        yield Finding("watch", what, f"by when erased bytes are gone is not known: {within.why}")
    elif math.isinf(within):
        yield Finding("mend", what, f"nothing bounds when erased bytes are gone: {bound.depends_on}")
    elif within > MOST_S:
        text = f"erased bytes are gone after {within / 86_400:.1f} days, and seven are allowed: {bound.depends_on}"
        yield Finding("mend", what, text)
    else:
        said = "at once" if within == 0 else f"within {_span(within)}"
        yield Finding(
            "ok" if bound.level == GONE else "watch", what, f"erased bytes are gone {said}: {bound.depends_on}"
        )
    for why in bound.blocked_by:
        yield Finding("watch", what, f"held back now by {why}")
    for why in bound.watch:
        yield Finding("watch", what, why)


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
