"""Every error we raise, sorted by what the caller does about it.

    EbbtideError
    ├── Retry    nothing changed: the step waits and does the same again
    ├── Reject   this message can never succeed: dead-letter it
    ├── Halt     going on would break a promise: stop the process
    └── Refused  what a person asked for, or wrote in a file, is not allowed: say what, where and the fix

Concrete errors stand beside the code that raises them and derive from one of these four.
"""

from __future__ import annotations


class EbbtideError(Exception):
    """The root of the tree: never raised itself."""


class Retry(EbbtideError):
    """Nothing is known to have changed: do the same again."""


class Reject(EbbtideError):
    """This message can never succeed: it goes to the dead letters, and the rest goes on."""


class Halt(EbbtideError):
    """Going on would break a promise: the process ends before an offset can pass."""


class Refused(EbbtideError):
    """A request, a setting or a file is not allowed; the text says what, where and what to do."""
