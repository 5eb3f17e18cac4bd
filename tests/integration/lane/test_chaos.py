"""One round of each scenario of `tests.integration.lane.chaos`; run the module itself for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.local.service import KafkaServer
from tests.integration.lane.chaos import Round

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize(("scenario", "feed_s"), [("three", 22.0), ("two", 18.0)])
def test_state_outputs_and_offsets_are_exact_after_kills_joins_and_zombies(
    scenario: str, feed_s: float, kafka: KafkaServer, tmp_path: Path
) -> None:
    round_ = Round(kafka.bootstrap, seed=7, feed_s=feed_s, scratch=tmp_path, per_second=400)

    figures = round_.run(scenario)

    assert "outputs exact" in figures
    assert round_.done["join"] == 1
