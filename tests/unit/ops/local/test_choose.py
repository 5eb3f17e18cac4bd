"""The order in which ways to run a service are tried, and what is said when none works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ops.local import choose
from ops.local.choose import Option, choose_kafka, choose_postgres, choose_s3, first_of
from ops.local.config import StackConfig
from ops.local.errors import MissingTool, NoProvider, ServiceFailed


@dataclass(frozen=True)
class Named:
    """A service that is only its provider's name."""

    provider: str
    real: bool = True
    notes: tuple[str, ...] = ()
    pid: int | None = None

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


def option(name: str, why_not: str | None, asked: list[str]) -> Option[Named]:
    def obstacle() -> str | None:
        asked.append(name)
        return why_not

    return Option(name=name, obstacle=obstacle, make=lambda: Named(name))


def test_the_first_way_without_an_obstacle_is_taken_and_later_ones_are_not_looked_at() -> None:
    asked: list[str] = []

    choice = first_of("Kafka", [option("a", "no address", asked), option("b", None, asked), option("c", None, asked)])

    assert choice.service.provider == "b"
    assert choice.passed_over == (("a", "no address"),)
    assert asked == ["a", "b"]


def test_when_no_way_works_every_reason_is_told_in_order() -> None:
    asked: list[str] = []

    with pytest.raises(NoProvider) as refused:
        first_of("S3", [option("a", "no address", asked), option("b", "install it with:\n    get-b", asked)])

    text = str(refused.value)
    assert text.index("a: no address") < text.index("b: install it with:\n    get-b")


# Where nothing is in the way, per service: the order of the whole chain is what is left when links break.
KAFKA, POSTGRES, S3 = (
    ["configured", "docker", "native", "mock"],
    ["configured", "docker", "native"],
    ["configured", "docker", "native", "moto"],
)


@pytest.mark.parametrize(
    ("chosen", "order", "address"),
    [
        (choose_kafka, KAFKA, {"kafka_bootstrap": "broker:9092"}),
        (choose_postgres, POSTGRES, {"postgres_dsn": "postgresql://u:p@h/d"}),
        (choose_s3, S3, {"s3_endpoint": "http://store"}),
    ],
    ids=["kafka", "postgres", "s3"],
)
def test_each_service_is_configured_else_docker_else_native_else_a_stand_in(
    chosen: Callable[[StackConfig, Path], choose.Choice[Named]],
    order: list[str],
    address: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def taken(config: StackConfig) -> str:
        return chosen(config, tmp_path / "service").service.provider

    def missing(*_: object, **__: object) -> None:
        raise MissingTool("a tool", "this", "get tool")

    for get in ("find_java", "ensure_kafka_jars", "find_postgres", "ensure_versitygw"):
        monkeypatch.setattr(choose, get, lambda *_, **__: tmp_path)
    monkeypatch.setattr(choose, "no_docker", lambda: None)
    config = StackConfig(cache_dir=tmp_path)
    found = [taken(replace(config, **address)), taken(config)]  # type: ignore[arg-type]
    monkeypatch.setattr(choose, "no_docker", lambda: "no daemon")
    found.append(taken(config))
    for get in ("find_java", "find_postgres", "ensure_versitygw"):
        monkeypatch.setattr(choose, get, missing)
    if len(order) == 4:
        found.append(taken(config))

    assert found == order
    with pytest.raises(NoProvider, match=r"(?s)EBBTIDE_.*no daemon.*get tool"):
        taken(replace(config, stand_ins=False))


def test_an_install_that_fails_leads_to_the_next_way_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ServiceFailed("`go`", "failed (exit 1)", tmp_path / "log", "dial tcp: no route")

    monkeypatch.setattr(choose, "ensure_versitygw", offline)

    choice = choose_s3(StackConfig(docker=False), tmp_path / "s3")

    assert choice.service.provider == "moto"
    assert not choice.service.real
    assert "no route" in dict(choice.passed_over)["native"]


def test_docker_that_is_turned_off_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def asked() -> str | None:
        raise AssertionError("the daemon was asked")

    monkeypatch.setattr(choose, "no_docker", asked)

    choice = choose_postgres(StackConfig(docker=False), tmp_path / "postgres")

    assert choice.service.provider == "native"
