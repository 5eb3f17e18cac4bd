from __future__ import annotations

import json

from ops.bench.contender import Measured
from ops.bench.digest import Digest
from ops.bench.pages import plots
from ops.bench.report import report
from ops.bench.results import SUBJECT, Round
from ops.bench.scale_part import section_of_scale


def _round(seconds: float) -> Round:
    work = Measured(records=1_000, seconds=seconds, cpu_seconds=1.0, peak_rss_bytes=9, peaks={"ledger-1": 9})
    return Round(
        contender=SUBJECT,
        number=1,
        records=1_000,
        kept=1_000,
        ingest=work,
        sweep=work,
        disk_bytes=20_000,
        erased=Digest(count=1_000),
    )


def test_each_number_of_partitions_and_workers_has_a_row_and_a_point_in_the_plots():
    section = section_of_scale(
        {"partitions": [(1, _round(2.0)), (12, _round(1.0))], "workers": [(1, _round(1.0)), (4, _round(0.5))]},
        records=1_000,
    )
    found = json.loads(json.dumps(report({"scale": section}, {}, {})))

    assert "| 12 partitions | 1,000 | 1000.00 | 1,000 | 1000.00 | 20.0 |" in section.table
    assert "| 4 workers | 2,000 |" in section.table
    assert section.peaks == {"ledger-1": 9}
    assert sorted(plots(found)) == ["partitions.svg", "workers.svg"]
