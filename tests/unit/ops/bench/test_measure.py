from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from ops.bench.measure import Meter, Stalled, directory_bytes


def _counts(*values: int):
    """A progress that goes through `values` and stays at the last."""
    left = itertools.chain(values, itertools.repeat(values[-1]))
    return lambda: next(left)


@pytest.fixture
def busy():
    """A child that does nothing but use its CPU."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process
        process.kill()


def test_cpu_is_that_of_the_watched_process_not_ours(busy):
    idle_meter = Meter({"idle": os.getppid()}, None)
    meter = Meter({"busy": busy.pid}, None)

    of_busy = meter.watch(_counts(*range(30)), total=29)
    of_idle = idle_meter.watch(_counts(*range(30)), total=29)

    assert of_busy.cpu_seconds > of_idle.cpu_seconds
    assert 0 < of_busy.cpu_seconds <= of_busy.seconds * 1.5
    assert of_busy.peak_rss_bytes == of_busy.peaks["busy"] > 1 << 20


def test_what_was_done_in_the_warm_up_is_in_no_figure(busy):
    measured = Meter({"busy": busy.pid}, None).watch(_counts(0, 10, 35, 60, 100), total=100, warm_up=30)

    assert measured.records == 65


def test_progress_in_one_leap_is_measured_from_the_call(busy):
    measured = Meter({"busy": busy.pid}, None).watch(_counts(0, 0, 100), total=100, warm_up=30)

    assert measured.records == 100
    assert measured.seconds > 0


def test_a_count_beyond_the_total_is_an_error_not_a_record(busy):
    with pytest.raises(Stalled, match="twice"):
        Meter({"busy": busy.pid}, None).watch(_counts(0, 101), total=100)


def test_a_count_that_stands_still_ends_the_run(busy):
    with pytest.raises(Stalled, match="no progress"):
        Meter({"busy": busy.pid}, None).watch(_counts(0, 50), total=100, patience_s=0.1)


def test_a_process_that_dies_ends_the_run(busy):
    meter = Meter({"busy": busy.pid}, None)
    busy.kill()
    busy.wait()

    with pytest.raises(Stalled, match="ended"):
        meter.watch(_counts(0, 1), total=2)


def test_the_broker_is_counted_beside_the_contender_not_in_it(busy):
    measured = Meter({"idle": os.getppid()}, busy.pid).watch(_counts(*range(30)), total=29)

    assert measured.broker_cpu_seconds > measured.cpu_seconds


def test_a_directory_is_as_large_as_all_files_in_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(bytes(10))
    (tmp_path / "a" / "b" / "y").write_bytes(bytes(5))

    assert directory_bytes(tmp_path) == 15
