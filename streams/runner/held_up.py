"""What batches wait for while their store cannot carry them out: told to the ledger, so that jobs can say it.

    sink.apply ─ SinkUnavailable ─▶ VerifyAck with `ask` 0 for each batch: what is left is unknown, and why

It decides nothing: the batches stay where they are and are tried again. The same words about the same batches are told
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
        self._told: tuple[str, frozenset[str]] | None = None

    def writes(self, jobs: Sequence[Job], error: Retry) -> list[Write]:
        """Return what is to be told of batches that could not be carried out, nothing where that was told before."""
        ids = frozenset(job.batch.id for job in jobs)
        told = (self._words(error), ids)
        if not ids or told == self._told or not isinstance(error, SinkUnavailable):
            return []
        self._told = told
        return [self._write(job, told[0]) for job in jobs]

    def carried_out(self) -> None:
        """Forget what was told: the next time it is news again."""
        self._told = None

    def _words(self, error: Retry) -> str:
        """Say what the store itself names, such as an open transaction; else why it could not be used."""
        try:
            named = self._sink.bound().blocked_by
        except SinkUnavailable:
            named = ()
        return "; ".join(named or (error.why if isinstance(error, SinkUnavailable) else str(error),))[:MAX_WORDS]

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
