"""Writes one part of large records in a process of its own, and prints how far its memory rose, in bytes.

`python -m … <target> <what it is told, as JSON>`; started by `test_memory.py`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from schemas.datamap import load_data_map
from schemas.topics import Topics
from sinks.build import SinkSettings, build_sink
from sinks.s3_client import S3Place
from streams.exporter.names import Names
from streams.exporter.parts import PartWriter
from streams.exporter.role import open_bucket
from streams.exporter.work import Work


def main() -> None:
    said = json.loads(sys.argv[1])
    settings = SinkSettings(
        bootstrap=said["bootstrap"], topics=Topics("none"), directory=Path(said["directory"]), master=b"m" * 32
    )
    sink = build_sink(load_data_map(said["data_map"], said["variables"]), said["target"], settings)
    writer = PartWriter(open_bucket(S3Place(**said["place"])), Names(said["folder"], b"n" * 32))
    work = Work.of(said["work"])
    nothing = replace(work, seq=work.seq + 1, record_ids=("none",))
    writer.write(nothing, lambda: sink, lambda: None)  # all is imported and connected
    before = peak()
    part = writer.write(work, lambda: sink, lambda: None)
    assert part is not None
    print(json.dumps({"rows": part.rows, "rose": peak() - before}))


def peak() -> int:
    """Return the most memory that this process had; unlike ru_maxrss it does not begin with its parent's."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
