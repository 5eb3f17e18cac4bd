"""Whether targets may be changed: the rules' word on it, looked at again and again beside a runner.

    ebbtide pause on ─▶ rules ─▶ PauseWatch.may_work ─▶ the runner stands still, its batches kept, its group kept

The call that is being made at that moment is finished, and no other begun. Where the rules cannot be read, or are not
the installation's, what they said last holds; as long as there are none, or nobody knows what they say, nothing is
changed. `tests/integration/test_pause.py` and `tests/unit/ops/test_pause.py` say what it promises.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from schemas.rules import Rules

LOOK_S: Final = 2.0

log = logging.getLogger(__name__)


class PauseWatch:
    """Looks at the rules in a thread of its own while it is entered. `told` gets whether work stands still."""

    def __init__(
        self,
        look: Callable[[], Rules | None],
        *,
        told: Callable[[bool], None],
        stop: threading.Event,
        look_s: float = LOOK_S,
    ) -> None:
        self._look, self._told, self._stop, self._look_s = look, told, stop, look_s
        self._paused: bool | None = None
        self._rules: Rules | None = None
        self._left = threading.Event()
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pause", daemon=True)

    def may_work(self) -> bool:
        """Whether a target may be changed now."""
        return self._open.is_set()

    @property
    def rules(self) -> Rules | None:
        """The rules as they were read last; None: not yet."""
        return self._rules

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._left.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._left.is_set() and not self._stop.is_set():
            try:
                rules = self._look()
            except Exception as error:  # noqa: BLE001 - without this thread nobody hears of a pause any more
                log.warning("the rules could not be read", extra={"why": type(error).__name__})
            else:
                if rules is not None:
                    self._take(rules)
            self._left.wait(self._look_s)

    def _take(self, rules: Rules) -> None:
        self._rules = rules
        paused = rules.paused
        if paused != self._paused:
            self._paused = paused
            log.info("all targets are paused" if paused else "targets may work")
            self._told(paused)
        if paused:
            self._open.clear()
        else:
            self._open.set()
