"""A fork of a process that has its imports behaves as one that was started, and dies with its owner."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local.errors import ServiceFailed
from ops.local.forks import Forks
from ops.local.process import Process, wait_until
from tests.integration.local.test_process import alive, kill

WORK = """
import os, signal, sys
import imported

def main(what):
    if what == "end":
        sys.exit(int(sys.argv[2]))
    if what == "fail":
        raise RuntimeError("no disk left")
    if what == "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: print("no"))
    print(imported.PID, os.getcwd(), os.environ["COLOUR"])
    print("up", os.getpid())
    while True:
        signal.pause()

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.fixture
def forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forks]:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "imported.py").write_text("import os\nPID = os.getpid()\n")
    (modules / "work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    made = Forks(tmp_path / "forks", "work", ["imported"])
    yield made
    made.stop()


def begin(forks: Forks, directory: Path, *arguments: str, grace_s: float = 20.0) -> Process:
    return Process.start(
        "work",
        lambda: [sys.executable, "-m", "work", *arguments],
        directory=directory,
        grace_s=grace_s,
        environment=lambda: {"COLOUR": directory.name},
        launcher=forks.launch,
    )


def start(forks: Forks, directory: Path, *arguments: str, grace_s: float = 20.0) -> Process:
    process = begin(forks, directory, *arguments, grace_s=grace_s)
    process.wait_ready(lambda: f"up {process.pid}\n" in process.log.read_text(), limit_s=30)
    return process


def test_it_has_the_imports_and_its_own_place_environment_and_log(forks: Forks, tmp_path: Path) -> None:
    runs = [start(forks, tmp_path / colour, "serve") for colour in ("blue", "red")]

    said = [run.log.read_text() for run in runs]

    assert said == [
        f"{forks.pid} {tmp_path / colour} {colour}\nup {run.pid}\n"
        for colour, run in zip(("blue", "red"), runs, strict=True)
    ]
    assert [Path(f"/proc/{run.pid}/comm").read_text().strip() for run in runs] == ["serve", "serve"]
    for run in runs:
        run.stop()


@pytest.mark.parametrize(("arguments", "code", "log"), [(("end", "76"), 76, ""), (("fail",), 1, "no disk left")])
def test_its_exit_code_and_its_last_words_are_told(
    forks: Forks, tmp_path: Path, arguments: tuple[str, ...], code: int, log: str
) -> None:
    run = begin(forks, tmp_path / "run", *arguments)

    run.wait(limit_s=30)

    assert run.exit_code == code
    assert log in run.log.read_text()


def test_stop_ends_it_and_frees_its_directory_and_leaves_the_others(forks: Forks, tmp_path: Path) -> None:
    first, other = start(forks, tmp_path / "run", "serve"), start(forks, tmp_path / "other", "serve")

    first.stop()
    second = start(forks, tmp_path / "run", "serve")

    assert not alive(first.pid)
    assert first.exit_code == 128 + signal.SIGTERM
    assert alive(second.pid)
    assert alive(other.pid)


def test_a_request_to_stop_that_comes_early_is_not_lost(forks: Forks, tmp_path: Path) -> None:
    codes = []

    for _ in range(20):
        run = begin(forks, tmp_path / "run", "serve")
        os.kill(run.pid, signal.SIGTERM)
        run.wait(limit_s=10)  # half of the time after which it would be killed
        codes.append(run.exit_code)
        run.kill()

    assert codes == [128 + signal.SIGTERM] * 20


def test_one_that_ignores_the_request_is_killed_within_the_bound(forks: Forks, tmp_path: Path) -> None:
    run = start(forks, tmp_path / "run", "stubborn", grace_s=0.2)

    run.stop(limit_s=30)

    assert not alive(run.pid)
    assert run.exit_code == 128 + signal.SIGKILL
    assert "no" in run.log.read_text().split()


def test_none_outlives_the_process_that_forked_it_and_the_next_has_another(forks: Forks, tmp_path: Path) -> None:
    run = start(forks, tmp_path / "run", "stubborn")
    forking = forks.pid
    assert forking is not None

    os.kill(forking, signal.SIGKILL)
    run.wait(limit_s=30)
    code = run.exit_code
    again = start(forks, tmp_path / "run", "serve")

    assert code == 128 + signal.SIGKILL
    assert not alive(run.pid)
    assert forks.pid not in (None, forking)
    assert alive(again.pid)


def test_one_that_cannot_be_forked_is_told_and_the_others_go_on(forks: Forks, tmp_path: Path) -> None:
    run = start(forks, tmp_path / "run", "serve")
    assert forks.pid is not None
    # As where no more processes are to be had: descriptors are, which it gets with each request.
    resource.prlimit(forks.pid, resource.RLIMIT_NOFILE, (4, 4))

    with pytest.raises(ServiceFailed, match="forks did not fork"):
        begin(forks, tmp_path / "other", "serve")

    assert alive(run.pid)
    assert not run.log.read_text().count("Traceback")
    run.stop()
    assert run.exit_code == 128 + signal.SIGTERM


def test_stop_ends_all_that_it_forked_and_leaves_no_directory(forks: Forks, tmp_path: Path) -> None:
    forks.begin()
    runs = [start(forks, tmp_path / str(i), "serve") for i in range(2)]

    forks.stop()

    assert not any(alive(run.pid) for run in runs)
    assert not (tmp_path / "forks").exists()


def test_what_cannot_be_imported_is_told_with_the_end_of_the_log(
    forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "")

    with pytest.raises(ServiceFailed, match=r"(?s)forks did not fork.*No module named 'work'"):
        begin(forks, tmp_path / "run", "serve")


def test_another_command_is_run_plainly(forks: Forks, tmp_path: Path) -> None:
    run = Process.start(
        "plain", lambda: [sys.executable, "-c", "print('up')"], directory=tmp_path, launcher=forks.launch
    )
    run.wait(limit_s=30)

    assert run.log.read_text() == "up\n"
    assert forks.pid is None


OWNER = """
import pathlib, sys, time
from ops.local.forks import Forks
from ops.local.process import Process
forks = Forks(pathlib.Path(sys.argv[1]) / "forks", "work", ["imported"])
runs = [
    Process.start("work", lambda: [sys.executable, "-m", "work", what], directory=pathlib.Path(sys.argv[1]) / what,
                  grace_s=0.5, environment=lambda: {"COLOUR": what}, launcher=forks.launch)
    for what in ("serve", "stubborn")
]
for run in runs:
    run.wait_ready(lambda run=run: "up" in run.log.read_text(), limit_s=30)
print(*(run.pid for run in runs), flush=True)
time.sleep(600)
"""


@pytest.mark.usefixtures("forks")
def test_none_outlives_a_killed_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path / "owned")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)

    kill(owner)

    assert wait_until(lambda: not any(alive(pid) for pid in pids), limit_s=30)
