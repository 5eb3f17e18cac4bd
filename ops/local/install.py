"""Fetches and builds what the native stack needs, once, into a cache that all checkouts of this user share.

`ebbtide install` (and so `make setup`) calls `install`; the native providers call the same `ensure_…` functions, so
`ebbtide up` works without it too, only later. Every part is made in a temporary directory beside its place and
renamed into it under a lock: two processes may install at once, and one that is killed leaves nothing half made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.local.errors import MissingTool, ServiceFailed
from ops.local.java import find_java
from ops.local.kafka.archive import ensure_archive
from ops.local.making import making
from ops.local.postgres import find_postgres
from ops.local.process import tail_of

__all__ = [
    "KAFKA_VERSION",
    "VERSITYGW_VERSION",
    "PrometheusTools",
    "ensure_kafka_jars",
    "ensure_prometheus",
    "ensure_versitygw",
    "install",
]

KAFKA_VERSION = "4.1.0"
VERSITYGW_VERSION = "v1.8.0"

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_VERSITYGW = "github.com/versity/versitygw/cmd/versitygw"

Report = Callable[[str], None]


def install(cache_dir: Path, *, report: Report) -> None:
    """Get everything that the native providers need; `report` gets one line a part. Quick when all is there.

    Not Prometheus, which only tests start: they get it when they first ask.

    Raises MissingTool, with the command that installs it, at the first tool that is missing.
    """
    report(f"Java: {find_java()}")
    jars = ensure_kafka_jars(cache_dir, report=report)
    ensure_archive(jars, report=report)
    report(f"Kafka {KAFKA_VERSION}: {jars}")
    report(f"PostgreSQL: {find_postgres()}")
    report(f"versitygw: {ensure_versitygw(cache_dir, report=report)}")


def ensure_kafka_jars(cache_dir: Path, *, report: Report = lambda _: None) -> Path:
    """The directory of the broker's jars, fetched by Maven when it is not there yet."""
    place = cache_dir / f"kafka-{KAFKA_VERSION}"
    if place.exists():
        return place
    with making(place) as temporary:
        if temporary is None:
            return place
        maven = _tool("mvn", "fetching the native Kafka", "sudo apt-get install maven")
        report(f"Kafka {KAFKA_VERSION}: fetching about 110 MB of jars with Maven")
        jars = temporary / "jars"
        # Maven writes beside the pom it reads, so it gets a copy.
        pom = Path(shutil.copy(_POM, temporary / "pom.xml"))
        _run(
            [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}",
             "-DincludeScope=runtime"],
            cache_dir / "kafka-install.log",
        )  # fmt: skip
        jars.replace(place)
    return place


def ensure_versitygw(cache_dir: Path, *, report: Report = lambda _: None) -> Path:
    """The S3 gateway's program: from PATH, else built once with Go."""
    on_path = shutil.which("versitygw")
    if on_path is not None:
        return Path(on_path)
    place = cache_dir / f"versitygw-{VERSITYGW_VERSION}"
    if place.exists():
        return place
    with making(place) as temporary:
        if temporary is None:
            return place
        go = _tool("go", "building the native S3 gateway, versitygw", "sudo apt-get install golang-go")
        report(f"versitygw {VERSITYGW_VERSION}: building it with Go, some minutes")
        _run(
            [go, "install", f"{_VERSITYGW}@{VERSITYGW_VERSION}"],
            cache_dir / "versitygw-install.log",
            {**os.environ, "GOBIN": str(temporary), "CGO_ENABLED": "0"},
        )
        (temporary / "versitygw").replace(place)
    return place


@dataclass(frozen=True, slots=True)
class PrometheusTools:
    """What alert rules and dashboards are tried with."""

    promtool: Path
    prometheus: Path

    @property
    def there(self) -> bool:
        return self.promtool.exists() and self.prometheus.exists()


def ensure_prometheus(cache_dir: Path, *, report: Report = lambda _: None) -> PrometheusTools:
    """Prometheus's programs: from PATH, else taken out of Debian's package. Nothing is installed in the system.

    Not built with Go like the S3 gateway: `go install` refuses Prometheus's modules, which replace others.
    """
    on_path = shutil.which("promtool"), shutil.which("prometheus")
    if on_path[0] is not None and on_path[1] is not None:
        return PrometheusTools(Path(on_path[0]), Path(on_path[1]))
    place = cache_dir / "prometheus-debian"
    tools = PrometheusTools(place / "promtool", place / "prometheus")
    if tools.there:
        return tools
    with making(place) as temporary:
        if temporary is None:
            return tools
        for name in ("apt-get", "dpkg-deb"):
            _tool(name, "trying alert rules and dashboards", _BY_HAND)
        report("Prometheus: fetching about 20 MB with apt-get")
        _download(cache_dir / "prometheus-install.log", temporary)
        (package,) = temporary.glob("*.deb")
        _run(["dpkg-deb", "-x", str(package), str(temporary / "x")], cache_dir / "prometheus-install.log")
        (temporary / "x" / "usr" / "bin").replace(place)
    return tools


_BY_HAND = "# any system: put promtool and prometheus (2.42 or newer) from Prometheus's own release on PATH"

_NO_LISTS = ("Unable to locate package", "Can't find a source", "404")  # none yet, or older than what is served


def _download(log: Path, directory: Path) -> None:
    """Download Debian's package into `directory`; where package lists are missing and we may, get them first."""
    command = ["apt-get", "download", "prometheus"]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        _run(command, log, environment, directory)
    except ServiceFailed:
        if not any(sign in log.read_text(errors="replace") for sign in _NO_LISTS):
            raise
        if os.geteuid() != 0:
            raise MissingTool("Debian's package lists", "fetching Prometheus", "sudo apt-get update") from None
        _run(["apt-get", "update"], log, environment)
        _run(command, log, environment, directory)


def _tool(name: str, needed_for: str, command: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingTool(name, needed_for, command)
    return found


def _run(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None, directory: Path | None = None
) -> None:
    with log.open("wb") as out:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
            check=False,
        )
    if ended.returncode != 0:
        raise ServiceFailed(f"`{command[0]}`", f"failed (exit {ended.returncode})", log, tail_of(log))
