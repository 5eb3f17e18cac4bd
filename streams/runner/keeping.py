"""Between batches: has the store do what makes erased bytes go in time, and tells by when they are gone.

Used by `streams.runner.runner`; `tests/integration/targets/test_kafka_gone.py` says what it promises.
"""

from __future__ import annotations

import logging
import time

from confluent_kafka import Consumer

from schemas.errors import Retry
from sinks.base import Sink, Write
from streams.runner.hooks import RunnerHooks
from streams.runner.spec import RunnerSpec
from streams.runner.transaction import Transactions

log = logging.getLogger(__name__)


class Keeper:
    """The upkeep of one sink. A round that fails is done again: what it was to write is kept until it is written."""

    def __init__(self, spec: RunnerSpec, sink: Sink, hooks: RunnerHooks) -> None:
        self._limits = spec.limits
        self._sink = sink
        self._hooks = hooks
        self._writes: list[Write] = []
        self._next_upkeep = self._next_bound = 0.0

    def turn(self, transactions: Transactions, consumer: Consumer) -> None:
        """Do what is due, most times nothing. Raises Halt."""
        now = time.monotonic()
        if now < self._next_upkeep:
            return
        self._next_upkeep = now + self._limits.upkeep_s
        try:
            done = self._sink.upkeep()
            self._writes += done.writes
            if self._writes:
                transactions.commit(self._writes, {}, consumer)
                self._writes = []
            self._hooks.on_upkeep(done)
            if now >= self._next_bound:
                self._next_bound = now + self._limits.bound_s
                self._hooks.on_bound(self._sink.bound())
        except Retry as error:
            log.warning("upkeep waits", extra={"target": self._sink.name, "why": str(error)})
