"""Log lines: one event in plain words, its values behind it as name=value. Never personal data."""

from __future__ import annotations

import logging
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

CHATTY = ("faust", "mode", "aiokafka", "streams.lane.faust_fixes")
"""Loggers whose every step is of no use to a person; their warnings are."""


class PlainFormatter(logging.Formatter):
    """Appends what a call gave as `extra=`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = super().format(record)
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return line + "".join(f" {name}={value}" for name, value in extra.items())


def set_up_logs() -> None:
    """Log to standard error from INFO on, Faust and its kin from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
