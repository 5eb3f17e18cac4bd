"""In a fork: `python -m tests.integration.script OUT MODULE [ARGUMENT…]` runs MODULE as a program that prints to OUT.

Started by `tests.integration.scripts`.
"""

from __future__ import annotations

import os
import runpy
import sys


def main() -> None:
    out, module, *arguments = sys.argv[1:]
    descriptor = os.open(out, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    sys.modules.pop(module, None)  # what it does is done anew, as its own program
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
