from __future__ import annotations

import pytest

from ops.bench.restart_part import section_of_restarts


@pytest.mark.parametrize(("seconds", "held"), [(20.0, True), (20.1, False)])
def test_the_bar_is_on_the_median_restart_with_local_state(seconds, held):
    section = section_of_restarts([1.0, seconds, 99.0], 500.0, size=3 << 20, records=1_000)

    assert section.bars[0].held is held
    assert "3 MiB of 1,000 records" in section.table
