"""What is fetched once: no half-made parts, two at a time, and the exact command when a tool is missing."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from ops.local import install as installer
from ops.local.errors import MissingTool, ServiceFailed
from ops.local.install import ensure_kafka_jars, ensure_prometheus, ensure_versitygw, install
from ops.local.java import find_java, version_of


def program(directory: Path, name: str, body: str) -> None:
    """A program called `name`: Python with the arguments in `sys.argv`."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!{sys.executable}\nimport os, sys, pathlib\n{body}\n")
    path.chmod(0o755)


MAVEN = """
out = next(a.split("=", 1)[1] for a in sys.argv if a.startswith("-DoutputDirectory="))
with open(os.environ["CALLS"], "a") as calls: calls.write("mvn\\n")
pathlib.Path(out).mkdir(); pathlib.Path(out, "kafka.jar").touch()
"""


def calls(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH to put programs on."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return directory


def test_without_maven_the_error_is_the_command_that_installs_it(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingTool) as missing:
        ensure_kafka_jars(tmp_path / "cache")

    assert str(missing.value).endswith("install it with:\n    sudo apt-get install maven")


def test_without_go_the_error_is_the_command_that_installs_it(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingTool) as missing:
        ensure_versitygw(tmp_path / "cache")

    assert str(missing.value).endswith("install it with:\n    sudo apt-get install golang-go")


def test_without_any_java_the_error_is_the_command_that_installs_it(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.local.java.find_spec", lambda _: None)

    with pytest.raises(MissingTool) as missing:
        find_java()

    assert str(missing.value).endswith("pip install 'ebbtide-engine[local]'")


def test_a_java_that_is_too_old_is_passed_over_for_the_one_in_the_wheel(tools: Path) -> None:
    program(tools, "java", """sys.stderr.write('openjdk version "11.0.2" 2019-01-15\\n')""")

    java = find_java()

    assert version_of(java) >= 17
    assert Path(java).parent != tools


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_401"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("Segmentation fault", 0),
    ],
)
def test_a_java_version_is_read_from_what_it_says(tools: Path, says: str, version: int) -> None:
    program(tools, "java", f"sys.stderr.write({says!r})")

    assert version_of(str(tools / "java")) == version


def test_a_part_that_is_there_is_not_fetched_again(tools: Path, tmp_path: Path) -> None:
    program(tools, "mvn", MAVEN)

    first = ensure_kafka_jars(tmp_path / "cache")
    second = ensure_kafka_jars(tmp_path / "cache")

    assert first == second
    assert [jar.name for jar in first.iterdir()] == ["kafka.jar"]
    assert calls(tmp_path / "calls") == 1


def test_two_who_install_at_once_fetch_once_and_both_have_it(tools: Path, tmp_path: Path) -> None:
    # Held open until both have been started.
    program(tools, "mvn", "while not os.path.exists(os.environ['CALLS'] + '.go'): pass\n" + MAVEN)
    found: list[Path] = []
    both = [threading.Thread(target=lambda: found.append(ensure_kafka_jars(tmp_path / "cache"))) for _ in range(2)]

    for one in both:
        one.start()
    (tmp_path / "calls.go").touch()
    for one in both:
        one.join(60)

    assert len(found) == 2
    assert (found[0] / "kafka.jar").exists()
    assert calls(tmp_path / "calls") == 1


def test_a_fetch_that_fails_leaves_nothing_half_made_and_shows_why(tools: Path, tmp_path: Path) -> None:
    program(tools, "mvn", MAVEN + "print('Could not resolve'); sys.exit(1)")
    cache = tmp_path / "cache"

    with pytest.raises(ServiceFailed, match=r"(?s)exit 1.*Could not resolve"):
        ensure_kafka_jars(cache)

    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_the_gateway_on_the_path_is_used_as_it_is(tools: Path, tmp_path: Path) -> None:
    program(tools, "versitygw", "")

    assert ensure_versitygw(tmp_path / "cache") == tools / "versitygw"


def test_the_gateway_is_built_once_at_the_pinned_version(tools: Path, tmp_path: Path) -> None:
    program(tools, "go", "pathlib.Path(os.environ['GOBIN'], 'versitygw').write_text(sys.argv[-1])")

    built = ensure_versitygw(tmp_path / "cache")

    assert built.read_text() == f"github.com/versity/versitygw/cmd/versitygw@{installer.VERSITYGW_VERSION}"


APT = """
with open(os.environ["CALLS"], "a") as calls: calls.write(sys.argv[1] + "\\n")
if sys.argv[1] == "update": pathlib.Path(os.environ["CALLS"] + ".lists").touch()
elif LISTS or os.path.exists(os.environ["CALLS"] + ".lists"): pathlib.Path("prometheus_2.42.0_amd64.deb").touch()
else: print("E: Unable to locate package prometheus"); sys.exit(100)
"""
DPKG = """
if not os.path.exists(sys.argv[2]): sys.exit("no such archive")
programs = pathlib.Path(sys.argv[3], "usr", "bin")
programs.mkdir(parents=True)
for name in ("promtool", "prometheus"): (programs / name).touch()
"""


def said_to_apt(path: Path) -> list[str]:
    return path.read_text().split()


def test_prometheus_is_taken_out_of_the_package_once_and_nothing_is_installed(tools: Path, tmp_path: Path) -> None:
    program(tools, "apt-get", APT.replace("LISTS", "True"))
    program(tools, "dpkg-deb", DPKG)

    first = ensure_prometheus(tmp_path / "cache")
    second = ensure_prometheus(tmp_path / "cache")

    assert first == second
    assert first.there
    assert first.promtool.is_relative_to(tmp_path / "cache")
    assert said_to_apt(tmp_path / "calls") == ["download"]


def test_prometheus_on_the_path_is_used_as_it_is(tools: Path, tmp_path: Path) -> None:
    for name in ("promtool", "prometheus"):
        program(tools, name, "")

    found = ensure_prometheus(tmp_path / "cache")

    assert (found.promtool, found.prometheus) == (tools / "promtool", tools / "prometheus")


def test_missing_package_lists_are_fetched_by_root_alone(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tools, "apt-get", APT.replace("LISTS", "False"))
    program(tools, "dpkg-deb", DPKG)

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MissingTool) as missing:
        ensure_prometheus(tmp_path / "cache")
    before = said_to_apt(tmp_path / "calls")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    found = ensure_prometheus(tmp_path / "cache")

    assert str(missing.value).endswith("install it with:\n    sudo apt-get update")
    assert before == ["download"]
    assert said_to_apt(tmp_path / "calls") == ["download", "download", "update", "download"]
    assert found.there


def test_a_download_that_fails_for_another_reason_is_shown_and_no_lists_are_fetched(
    tools: Path, tmp_path: Path
) -> None:
    program(tools, "apt-get", "print('Could not connect', sys.argv[1]); sys.exit(100)")
    program(tools, "dpkg-deb", DPKG)

    with pytest.raises(ServiceFailed, match="Could not connect download"):
        ensure_prometheus(tmp_path / "cache")


def test_without_debians_tools_the_error_says_what_to_put_on_the_path(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match=r"promtool and prometheus .* on PATH"):
        ensure_prometheus(tmp_path / "cache")


def test_install_stops_at_the_first_missing_tool_instead_of_skipping_it(tools: Path, tmp_path: Path) -> None:
    reported: list[str] = []

    with pytest.raises(MissingTool):
        install(tmp_path / "cache", report=reported.append)

    assert not any(line.startswith("versitygw") for line in reported)


def test_the_pom_names_no_repository_and_the_version_that_the_code_names() -> None:
    pom = (Path(installer.__file__).parent / "kafka" / "pom.xml").read_text()

    assert "<repositor" not in pom
    assert pom.count(f"<version>{installer.KAFKA_VERSION}</version>") == 2
