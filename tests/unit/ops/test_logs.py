"""A log line shows what happened and its values."""

from __future__ import annotations

import logging

from ops.logs import PlainFormatter


def test_values_given_as_extra_follow_the_words() -> None:
    record = logging.makeLogRecord({"msg": "segments judged", "levelname": "INFO", "count": 3, "topic": "t"})

    assert PlainFormatter("%(levelname)s %(message)s").format(record) == "INFO segments judged count=3 topic=t"
