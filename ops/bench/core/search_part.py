"""A thousand people's data searched among ten million records of one org, as an erasure request does."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from statistics import median

import numpy as np
import numpy.typing as npt

from ops.bench.bars import at_least
from ops.bench.core.partition import CorePartition, Spent
from ops.bench.core.synthetic import FIRST_DAY, LONG, Filler, synthetic_rules
from ops.bench.results import NotTheSameWork
from ops.bench.section import Section, table_of
from ops.bench.stage import Stage

BAR = 20e6
_SUBJECTS = 1_000
_ROUNDS = 5
_RECORDS = {True: 4_000_000, False: 10_000_000}
_DAY_MS = 86_400_000
_READING = "reading alone"


def run_search(stage: Stage, *, records: int | None = None, subjects: int = _SUBJECTS) -> Section:
    """Search for strangers, then for people with one record each; and read all of it for nothing, as the limit.

    Raises NotTheSameWork if others are erased.
    """
    count, directory = records or _RECORDS[stage.quick], stage.directory / "search"
    partition = CorePartition(directory, synthetic_rules())
    partition.tick(FIRST_DAY)
    filler = Filler(partition, 1, known=subjects * _ROUNDS)
    filler.fill(LONG, range(FIRST_DAY - 200, FIRST_DAY, 20), count)
    rng = np.random.default_rng(11)
    found: dict[str, list[Spent]] = {_READING: [], "nobody's": [], "one record each": []}
    _ask(partition, "warm-up", rng.integers(1, 1 << 62, subjects, dtype=np.uint64))
    for number in range(_ROUNDS):
        found[_READING].append(partition.read_alone())
        strangers = rng.integers(1, 1 << 62, subjects, dtype=np.uint64)
        people = filler.known[number * subjects : (number + 1) * subjects]
        for name, refs, expected in (("nobody's", strangers, 0), ("one record each", people, subjects)):
            spent = _ask(partition, f"{name} {number}", refs)
            if spent.records != expected:
                raise NotTheSameWork(f"a search erased {spent.records} records; {expected} are these people's")
            found[name].append(spent)
    partition.close()
    shutil.rmtree(directory)
    rates = {name: count / median(s.cpu_seconds for s in all_of) for name, all_of in found.items()}
    rows = [
        [name, f"{median(s.seconds for s in all_of):.2f}", f"{rates[name] / 1e6:.1f}"] for name, all_of in found.items()
    ]
    return Section(
        title="People searched in one org",
        table=f"Medians of {_ROUNDS} rounds, {subjects:,} people among {count:,} records, one partition's core, "
        f"from the order to the last acknowledgement. {_READING.capitalize()}: every segment is got out of RocksDB and "
        "decompressed, and nothing else done.\n\n"
        + table_of(["data found", "seconds", "million records/s of CPU"], rows),
        bars=(at_least("search for 1 000 people", rates["one record each"] / 1e6, BAR / 1e6, "million records/s"),),
        raw={"requests": {name: [asdict(s) for s in all_of] for name, all_of in found.items()}, "records": count},
    )


def _ask(partition: CorePartition, name: str, refs: npt.NDArray[np.uint64]) -> Spent:
    return partition.say(
        "Erase",
        {
            "org": "org-000000",
            "epoch": 1,
            "request_id": name,
            "everyone": False,
            "subjects": refs.astype("<u8").tobytes(),
            "categories": [],
            "through": FIRST_DAY * _DAY_MS,
        },
    )
