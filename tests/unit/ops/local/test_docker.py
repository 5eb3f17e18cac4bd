"""What we ask Docker for, without a daemon: loopback only, volumes that stay, the container gone after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.local.docker import ContainerSpec, DockerKafka, DockerPostgres, DockerS3, DockerService, no_docker
from ops.local.errors import ServiceFailed
from ops.local.images import KAFKA_IMAGE


class FakeContainer:
    """Stands for testcontainers' container: what it was told, in order."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.told: list[str] = []

    def get_wrapped_container(self) -> Any:
        return self

    def reload(self) -> None: ...

    def get_logs(self) -> tuple[bytes, bytes]:
        return b"first\n", b"why it ended\n"

    def stop(self, **how: object) -> None:
        self.told.append("remove" if "force" in how else "stop")
        assert how.get("delete_volume", False) is False


def services(directory: Path, **more: Any) -> list[DockerService]:
    return [
        DockerKafka(directory / "kafka", properties={"log.cleaner.backoff.ms": "200"}, heap="512m", **more),
        DockerPostgres(directory / "postgres", fsync=True, **more),
        DockerS3(directory / "s3", bucket="b", region="us-east-1", **more),
    ]


def test_a_docker_host_that_does_not_answer_is_no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    assert "no Docker daemon answers" in (no_docker() or "")


def test_without_testcontainers_the_reason_is_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.local.docker.find_spec", lambda _: None)

    assert "pip install 'ebbtide-engine[local]'" in (no_docker() or "")


def test_a_restart_asks_for_the_same_ports_secrets_and_volumes(tmp_path: Path) -> None:
    before = [service.spec() for service in services(tmp_path)]
    after = [service.spec() for service in services(tmp_path)]

    assert before == after


def test_two_data_directories_share_no_volume(tmp_path: Path) -> None:
    one = {name for service in services(tmp_path / "a") for name in service.spec().volumes.values()}
    other = {name for service in services(tmp_path / "b") for name in service.spec().volumes.values()}

    assert one.isdisjoint(other)


def test_brokers_properties_reach_the_container_as_its_image_reads_them(tmp_path: Path) -> None:
    spec = services(tmp_path)[0].spec()

    (port,) = spec.ports.values()
    assert spec.image == KAFKA_IMAGE
    assert spec.environment["KAFKA_LOG_CLEANER_BACKOFF_MS"] == "200"
    assert spec.environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert spec.environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://127.0.0.1:{port}"


def test_secrets_do_not_show_in_what_is_printed_of_a_container(tmp_path: Path) -> None:
    spec = services(tmp_path)[1].spec()

    assert spec.environment["POSTGRES_PASSWORD"] not in repr(spec)


def test_ports_are_bound_on_loopback_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The real container object, stopped short of the daemon: its `start` hands `ports` on as they are.
    bound: list[dict[str, object]] = []
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda **_: object())
    monkeypatch.setattr(
        "testcontainers.core.container.DockerContainer.start", lambda self: bound.append(dict(self.ports))
    )
    from ops.local.docker import start_container

    for service in services(tmp_path):
        start_container(service.spec())

    assert len(bound) == 3
    assert all(address[0] == "127.0.0.1" for ports in bound for address in ports.values())  # type: ignore[index]


def test_a_container_that_ends_while_starting_shows_its_last_lines_and_is_removed(tmp_path: Path) -> None:
    made: list[FakeContainer] = []

    def run(_: ContainerSpec) -> FakeContainer:
        made.append(FakeContainer("exited"))
        return made[-1]

    with pytest.raises(ServiceFailed, match=r"(?s)ended while starting.*why it ended"):
        services(tmp_path, run=run)[1].start()

    assert made[0].told == ["remove"]


def test_stop_asks_the_server_to_end_before_the_container_is_removed(tmp_path: Path) -> None:
    container = FakeContainer("running")
    service = services(tmp_path, run=lambda _: container)[2]
    service.ready = lambda: True  # type: ignore[method-assign]
    service.settle = lambda: None  # type: ignore[method-assign]
    service.start()

    service.stop()
    service.stop()

    assert container.told == ["stop", "remove"]
