"""What settings promise: read once, typed, refused with the variable's name and the fix, secrets unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.settings import BadSetting, Settings, read_settings, to_environ


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}).partitions == Settings().partitions


def test_settings_survive_the_way_to_a_process_we_start() -> None:
    settings = Settings(partitions=3, data_dir=Path("/somewhere"), day_seconds=2.5, kafka_bootstrap="h:1", prefix="p")

    assert read_settings(to_environ(settings)).day_seconds == 2.5
    assert read_settings(to_environ(settings)).data_dir == Path("/somewhere")
    assert read_settings(to_environ(settings)).partitions == 3


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"EBBTIDE_PARTITIONS": "many"}, "EBBTIDE_PARTITIONS"),
        ({"EBBTIDE_PARTITIONS": "0"}, "EBBTIDE_PARTITIONS"),
        ({"EBBTIDE_ENVIRONMENT": "moon"}, "EBBTIDE_ENVIRONMENT"),
        ({"EBBTIDE_DAY_SECONDS": "2", "EBBTIDE_ENVIRONMENT": "production"}, "refused in production"),
        ({"EBBTIDE_DAY_SECONDS": "-1"}, "EBBTIDE_DAY_SECONDS"),
        ({"EBBTIDE_TICK_S": "0"}, "EBBTIDE_TICK_S"),
        ({"EBBTIDE_LATENESS_S": "-5"}, "EBBTIDE_LATENESS_S"),
        ({"EBBTIDE_API_WAIT_S": "-1"}, "EBBTIDE_API_WAIT_S"),
        ({"EBBTIDE_API_CALLS_PER_MINUTE": "0"}, "EBBTIDE_API_CALLS_PER_MINUTE"),
        ({"EBBTIDE_EXPORT_LINK_S": "604801"}, "EBBTIDE_EXPORT_LINK_S"),
        ({"EBBTIDE_EXPORT_MARGIN_S": "-1"}, "EBBTIDE_EXPORT_MARGIN_S"),
        ({"EBBTIDE_EXPORT_BUNDLE_BYTES": "1000000000"}, "held in memory"),
    ],
)
def test_a_bad_value_is_refused_by_its_variable(variables: dict[str, str], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        read_settings(variables)


def test_a_missing_key_says_how_to_make_one() -> None:
    with pytest.raises(BadSetting, match="EBBTIDE_MASTER_KEY must be 64 hex digits"):
        Settings().key("master_key")


def test_secrets_do_not_show() -> None:
    settings = Settings(
        master_key="ab" * 32, postgres_dsn="postgresql://u:secret@h/d", s3_secret_key="hush", signing_key="cd" * 32
    )

    shown = repr(settings)

    assert "ab" * 32 not in shown
    assert "cd" * 32 not in shown
    assert "secret@" not in shown
    assert "hush" not in shown


def test_a_coordinator_needs_only_the_public_half_of_the_signing_key() -> None:
    seed = Settings(signing_key="33" * 32)

    assert Settings(rules_public_key=seed.rules_key().hex()).rules_key() == seed.rules_key()
    assert seed.rules_key() != bytes.fromhex("33" * 32)
    with pytest.raises(BadSetting, match="EBBTIDE_RULES_PUBLIC_KEY is not set"):
        Settings().rules_key()
    with pytest.raises(BadSetting, match="EBBTIDE_RULES_PUBLIC_KEY must be 64 hex digits"):
        Settings(rules_public_key="ab").rules_key()


def test_the_api_signs_with_its_own_key_or_with_one_that_follows_from_the_installation_s() -> None:
    own, followed = Settings(signing_key="33" * 32, api_signing_key="44" * 32), Settings(signing_key="33" * 32)

    assert own.api_key() == bytes.fromhex("44" * 32)
    assert followed.api_key() not in (own.api_key(), followed.key("signing_key"))
    with pytest.raises(BadSetting, match="EBBTIDE_SIGNING_KEY"):
        Settings().api_key()


def test_the_read_model_is_where_the_stores_are_unless_it_has_a_place_of_its_own() -> None:
    assert Settings(postgres_dsn="a").model_dsn == "a"
    assert Settings(postgres_dsn="a", read_model_dsn="b").model_dsn == "b"
