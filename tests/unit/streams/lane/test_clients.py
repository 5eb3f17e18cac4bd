"""The same connection options mean the same to both client libraries."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from faust.types.auth import AuthProtocol

from schemas.errors import Refused
from streams.lane.clients import faust_broker, faust_credentials, librdkafka


def test_every_bootstrap_address_reaches_both() -> None:
    assert faust_broker("a:1, b:2") == "kafka://a:1;kafka://b:2"
    assert librdkafka("a:1,b:2", {"sasl.username": "u"}) == {"sasl.username": "u", "bootstrap.servers": "a:1,b:2"}


def test_without_security_there_are_no_credentials() -> None:
    assert faust_credentials({}) is None
    assert faust_credentials({"security.protocol": "plaintext"}) is None


@pytest.mark.parametrize(
    ("protocol", "expected"), [("sasl_plaintext", AuthProtocol.SASL_PLAINTEXT), ("SASL_SSL", AuthProtocol.SASL_SSL)]
)
@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_user_password_and_mechanism_are_carried_over(protocol: str, expected: AuthProtocol, name: str) -> None:
    made: Any = faust_credentials(
        {"security.protocol": protocol, name: "SCRAM-SHA-512", "sasl.username": "u", "sasl.password": "p"}
    )

    assert (made.protocol, made.mechanism.value, made.username, made.password) == (expected, "SCRAM-SHA-512", "u", "p")
    assert "p" not in repr(made).replace("SASLCredentials", "").replace("username", "")


def test_certificates_are_verified_unless_switched_off() -> None:
    strict: Any = faust_credentials({"security.protocol": "ssl"})
    by_name: Any = faust_credentials({"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"})
    loose: Any = faust_credentials({"security.protocol": "ssl", "enable.ssl.certificate.verification": "false"})

    assert (strict.context.check_hostname, strict.context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (by_name.context.check_hostname, by_name.context.verify_mode) == (False, ssl.CERT_REQUIRED)
    assert loose.context.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    "config", [{"security.protocol": "tls"}, {"security.protocol": "sasl_ssl", "sasl.mechanism": "GSSAPI"}]
)
def test_what_the_consumer_cannot_do_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(Refused):
        faust_credentials(config)
