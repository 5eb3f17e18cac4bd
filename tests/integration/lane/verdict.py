"""What must hold when a lane has drained its sources: outputs, changelog, position, offsets and local copies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, sleep

from streams.lane.rocks import LOCAL_KEYS, LocalStores, Partition
from tests.integration.lane.kafka_io import committed, header_of, read_committed
from tests.integration.lane.toy import Logged, Out, Toy, judge, source_names

POSITION = b"\0position"


def drain(bootstrap: str, prefix: str, partitions: int, seconds: float) -> float:
    """Wait until the group stands at the end of all it can read; the seconds it took."""
    began = monotonic()
    while True:
        ends = {
            (topic, p): (log[-1].offset() or 0) + 1 if log else 0
            for topic in source_names(prefix)
            for p, log in read_committed(bootstrap, topic, partitions).items()
        }
        at = committed(bootstrap, prefix, source_names(prefix), partitions)
        if at == ends:
            return monotonic() - began
        if monotonic() - began > seconds:
            raise AssertionError(f"not drained within {seconds:g} s: ends {ends}, committed {at}")
        sleep(0.5)


def problems(bootstrap: str, prefix: str, partitions: int, data_dirs: Iterable[Path]) -> tuple[list[str], int]:
    """Everything that is wrong after `drain`, with the workers stopped; and how many outputs were checked."""
    sources, out_topic = source_names(prefix), f"{prefix}-out"
    wrong: list[str] = []
    logs = {topic: read_committed(bootstrap, topic, partitions) for topic in sources}
    outs = read_committed(bootstrap, out_topic, partitions)
    changelog = read_committed(bootstrap, f"{prefix}-changelog", partitions)
    offsets = committed(bootstrap, prefix, sources, partitions)
    copies = _local_copies(data_dirs)
    checked = 0
    for p in range(partitions):
        told = [Out.decode(m.value() or b"") for m in outs[p]]
        verdict = judge(
            Toy(sources, out_topic),
            p,
            {t: [Logged(m.offset() or 0, m.key(), m.value() or b"") for m in logs[t][p]] for t in sources},  # type: ignore[arg-type]
            told,
        )
        wrong += verdict.problems
        checked += len(told)
        headers = [header_of(m) for m in outs[p]]
        if [(h.writer, h.incarnation, h.seq) for h in headers if h] != [
            (f"{prefix}-{p}", 0, n) for n in range(1, len(told) + 1)
        ]:
            wrong.append(f"partition {p}: output sequences are not 1, 2, 3, …")
        state: dict[bytes, bytes] = {}
        for m in changelog[p]:
            key, value = m.key(), m.value()
            assert isinstance(key, bytes)
            if value is None:
                state.pop(key, None)
            else:
                state[key] = bytes(value)
        position = json.loads(state.get(POSITION, b'{"next":{},"in":[],"out":[]}'))
        if {k: v for k, v in state.items() if k[:1] != b"\0"} != verdict.state:
            wrong.append(f"partition {p}: the changelog's state is not the model's")
        for topic in sources:
            end = (logs[topic][p][-1].offset() or 0) + 1 if logs[topic][p] else 0
            if not position["next"].get(topic, 0) == offsets[topic, p] == end:
                wrong.append(
                    f"{topic}/{p}: position {position['next'].get(topic)}, committed {offsets[topic, p]}, end {end}"
                )
        heard = {}
        for m in logs[sources[0]][p]:
            if (header := header_of(m)) is not None:
                heard[header.writer] = (header.incarnation, header.seq)
        if {writer: (inc, seq) for _, writer, inc, seq in position["in"]} != heard:
            wrong.append(f"partition {p}: sequences heard are not those of the log")
        last = changelog[p][-1].offset() if changelog[p] else None
        complete = [rows for offset, rows in copies[p] if last is not None and offset >= last]
        if last is not None and not complete:
            wrong.append(f"partition {p}: no local copy reaches the changelog's end")
        if any(rows != state for rows in complete):
            wrong.append(f"partition {p}: a local copy differs from the changelog")
    return wrong, checked


def _local_copies(data_dirs: Iterable[Path]) -> dict[int, list[tuple[int, dict[bytes, bytes]]]]:
    """All local copies: partition -> (offset reached, rows of the changelog)."""
    found: dict[int, list[tuple[int, dict[bytes, bytes]]]] = defaultdict(list)
    stores = LocalStores(budget_bytes=16 << 20, wipe_after_s=float("inf"), now=lambda: 0.0)
    for data_dir in data_dirs:
        for path in data_dir.glob("**/lane-*.db"):
            if not path.is_dir():
                continue
            local = Partition(stores.open(path))
            offset = local.offset()
            rows = {k: v for k, v in local.range(b"\0", None) if k not in LOCAL_KEYS}
            if offset is not None:
                found[int(path.stem.rsplit("-", 1)[1])].append((offset, rows))
    return found
