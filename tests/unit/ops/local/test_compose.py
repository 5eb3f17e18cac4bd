"""docker-compose.yml, the image, Prometheus and Grafana agree with each other and with the code."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.docker.healthy import is_ready
from ops.local.images import KAFKA_IMAGE, POSTGRES_IMAGE, S3_IMAGE
from ops.metrics import Domains, Metrics
from ops.settings import Settings, variable

ROOT = Path(__file__).parents[4]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("ebbtide-engine:")}
RUNNERS = {name: service for name, service in OURS.items() if service["command"][0] == "run"}
ONCE = OURS.keys() - RUNNERS.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_each_image_is_pinned_to_a_full_version(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")

    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), SERVICES[name]["image"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_published_port_is_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert "network_mode" not in SERVICES[name]


def test_no_two_services_publish_the_same_port() -> None:
    published = [port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(published) == len(set(published))


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_each_service_that_stays_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= check.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_each_dependency_waits_for_health_or_completion(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how == {"condition": wanted}


@pytest.mark.parametrize("name", OURS)
def test_each_ebbtide_variable_is_a_setting(name: str) -> None:
    settings = {variable(field.name) for field in dataclasses.fields(Settings)}
    named = set(re.findall(r"EBBTIDE_[A-Z0-9_]+", yaml.safe_dump(OURS[name])))

    assert named
    assert named <= settings


def test_only_who_puts_rules_in_force_has_the_signing_key_and_who_obeys_them_knows_its_public_half() -> None:
    holders = {name for name, service in OURS.items() if "EBBTIDE_SIGNING_KEY" in service["environment"]}
    knowing = {name for name, service in OURS.items() if "EBBTIDE_RULES_PUBLIC_KEY" in service["environment"]}

    targets = {name for name in OURS if name.startswith("target-")}

    assert (holders, knowing) == ({"rules"}, {"coordinator", "gateway", "ledger", "api", *targets})


def test_the_images_are_those_that_the_local_stack_runs() -> None:
    images = {name: SERVICES[name]["image"] for name in ("kafka", "postgres", "s3")}

    assert images == {"kafka": KAFKA_IMAGE, "postgres": POSTGRES_IMAGE, "s3": S3_IMAGE}


def test_there_is_one_service_for_each_role_and_each_target_that_we_run() -> None:
    from ops.roles import ROLES  # imports every role: only this test needs them

    demo = yaml.safe_load((ROOT / "ops" / "demo" / "datamap.yaml").read_text())
    targets = {f"target:{name}" for name, target in demo["targets"].items() if target["kind"] != "consumer"}
    single = {role for role in ROLES if not role.startswith("target")}

    run = [service["command"] for service in RUNNERS.values()]

    assert sorted(command[1] for command in run) == sorted(single | targets)
    assert all(len(command) == 2 for command in run)


def test_every_named_volume_is_declared_and_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            default = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", volume)
            source = default.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_roles_with_state_keep_it_in_a_volume_of_their_own() -> None:
    kept = {name: v for name, s in RUNNERS.items() for v in s["volumes"] if v.endswith(":/var/lib/ebbtide")}

    assert kept.keys() == {"gateway", "ledger", "coordinator"}
    assert len(set(kept.values())) == 3


def test_the_api_is_given_no_key_that_opens_anything_or_signs_rules() -> None:
    given = SERVICES["api"]["environment"].keys()

    assert not given & {f"EBBTIDE_{name}" for name in ("MASTER_KEY", "DEAD_LETTER_KEY", "SIGNING_KEY", "S3_SECRET_KEY")}
    assert (
        SERVICES["api"]["environment"]["EBBTIDE_API_SIGNING_KEY"]
        == SERVICES["rules"]["environment"]["EBBTIDE_API_SIGNING_KEY"]
    )


def test_nobody_s_own_tables_land_in_our_schema() -> None:
    assert SERVICES["postgres"]["command"][-1] == "search_path=public"


def test_prometheus_scrapes_every_role_on_its_metrics_port() -> None:
    config = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())
    (found,) = config["scrape_configs"][0]["dns_sd_configs"]

    assert set(found["names"]) == RUNNERS.keys()
    assert {service["environment"]["EBBTIDE_METRICS_PORT"] for service in RUNNERS.values()} == {str(found["port"])}


def test_grafana_is_given_the_data_source_and_the_dashboards_that_it_names() -> None:
    provisioning = ROOT / "ops" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "ebbtide.yml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in SERVICES["grafana"]["volumes"])
    dashboards = list((ROOT / mounts[provider["options"]["path"]]).glob("*.json"))

    panels = [panel for file in dashboards for panel in json.loads(file.read_text())["panels"]]
    used = {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"}

    assert dashboards
    assert used == {source["uid"]}
    assert source["url"].removeprefix("http://").split(":")[0] in SERVICES


def test_the_image_copies_only_what_its_context_lets_through() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    dockerfile = (ROOT / "ops" / "docker" / "Dockerfile").read_text()
    copied = {
        source.split("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }

    assert copied <= let_through
    assert all((ROOT / source).exists() for source in copied)
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)


def test_every_base_image_is_pinned_to_a_full_version() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "ops" / "docker" / "Dockerfile").read_text(), re.MULTILINE)

    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)


def test_a_role_is_healthy_once_it_says_that_it_is_ready() -> None:
    from prometheus_client import generate_latest

    metrics = Metrics("clock", Domains())
    before = generate_latest(metrics.registry).decode()
    metrics.ready()
    after = generate_latest(metrics.registry).decode()

    assert not is_ready(before)
    assert is_ready(after)
