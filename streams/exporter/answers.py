"""What the exporter answers the coordinator: numbered under its name with an incarnation of each start.

Used by `streams.exporter.run`; `tests/integration/exporter/` reads the answers from their topic.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ebbtide.wire import Codec
from schemas.sequence import HEADER
from schemas.sequence import Sequence as Numbered
from sinks.base import Write
from streams.exporter.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Makes answers for one start of one exporter."""

    topic: str
    codec: Codec
    writer: str
    incarnation: int
    _sequences: Counter[int] = field(default_factory=Counter)

    def write(self, work: Work, kind: str, place: int, partition: int, body: Mapping[str, Any], error: str) -> Write:
        """Return the answer `kind` to `work`, for partition `place` of the topic. `partition` is what it speaks of."""
        record = {
            "org": work.org,
            "kind": kind,
            "partition": partition,
            "epoch": work.epoch,
            "version": 1,
            "error": error,
            "request_id": work.request_id,
            "body": json.dumps(body, ensure_ascii=False),
        }
        self._sequences[place] += 1
        header = Numbered(self.writer, self.incarnation, self._sequences[place]).encode()
        value = self.codec.encode("Answer", record)
        return Write(topic=self.topic, partition=place, key=work.org.encode(), value=value, headers=((HEADER, header),))
