"""What batches wait for while their store cannot carry them out: told to the ledger, so that jobs can say it.

    sink.apply ─ SinkUnavailable ─▶ VerifyAck with `ask` 0 for each batch: what is left is unknown, and why

It decides nothing: the batches stay where they are and are tried again. The same words about a batch are told
once. Used by `streams.runner.runner`; `tests/unit/streams/runner/test_held_up.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.errors import Retry
from sinks.base import Job, Sink, SinkUnavailable, Write
from sinks.gone import DELETED, NONE
from streams.runner.spec import RunnerSpec
from streams.runner.verifying import MAX_WORDS, UNKNOWN

UNASKED = 0
"""The number of a question that nobody asked."""


class HeldUp:
    """What one sink's batches wait for."""

    def __init__(self, spec: RunnerSpec, sink: Sink) -> None:
        self._spec, self._sink = spec, sink
        self._told: dict[str, str] = {}

    def writes(self, jobs: Sequence[Job], error: Retry) -> list[Write]:
        """Return what is to be told of batches that could not be carried out, nothing where that was told before."""
        if not jobs or not isinstance(error, SinkUnavailable):
            return []
        words, before = self._words(error), self._told
        self._told = {job.batch.id: words for job in jobs}
        return [self._write(job, words) for job in jobs if before.get(job.batch.id) != words]

    def carried_out(self) -> None:
        """Forget what was told: the next time it is news again."""
        self._told = {}

    def _words(self, error: SinkUnavailable) -> str:
        """Say what the store itself names, such as an open transaction; else why it could not be used."""
        try:
            named = self._sink.bound().blocked_by
        except SinkUnavailable:
            named = ()
        return "; ".join(named or (error.why,))[:MAX_WORDS]

    def _write(self, job: Job, words: str) -> Write:
        record: dict[str, Any] = {
            "batch_id": job.batch.id,
            "ask": UNASKED,
            "target": self._sink.name,
            "level": NONE,
            "reaches": DELETED,
            "left": UNKNOWN,
            "blocked_by": words,
        }
        value = self._spec.codec.encode("VerifyAck", record)
        return Write(topic=self._spec.topics.acks, partition=job.partition, key=job.batch.id.encode(), value=value)
