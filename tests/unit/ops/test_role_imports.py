"""What roles are forked with: all that they import on their own, and not one thread."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ops import roles, supervisor

LOOK = """
import importlib, json, os, sys
for name in sys.argv[1:]: importlib.import_module(name)
print(json.dumps([len(os.listdir("/proc/self/task")), sorted(sys.modules)]))
"""


def test_the_process_that_forks_roles_has_what_they_import_and_one_thread() -> None:
    own = set(re.findall(r"^    +from (\S+) import", Path(roles.__file__).read_text(), re.MULTILINE))
    names = [supervisor._ROLE, *supervisor._IMPORTS]

    said = subprocess.run(
        [sys.executable, "-c", LOOK, *names],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    threads, modules = json.loads(said.stdout)

    assert len(own) > 10
    assert own <= set(modules)
    assert threads == 1
