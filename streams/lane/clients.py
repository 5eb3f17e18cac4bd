"""One set of connection options, in librdkafka's names, for both client libraries.

librdkafka takes them as they are; Faust's consumer (aiokafka) gets Faust credentials made from them. Used by
`streams.lane.app`, `restore` and `transactions`; proven by `tests/unit/streams/lane/test_clients.py`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from faust.auth import SASLCredentials, SSLCredentials

from schemas.errors import Refused

_SASL = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}


def librdkafka(bootstrap: str, client_config: Mapping[str, str]) -> dict[str, str | int | bool | float]:
    """The options every confluent-kafka client of the lane starts from."""
    return {**client_config, "bootstrap.servers": bootstrap}


def faust_broker(bootstrap: str) -> str:
    """Faust's broker URL: every address with the scheme of the aiokafka driver."""
    return ";".join(f"kafka://{address.strip()}" for address in bootstrap.split(","))


def faust_credentials(client_config: Mapping[str, str]) -> SASLCredentials | SSLCredentials | None:
    """The credentials that mean the same to aiokafka. Raises Refused for what it cannot do."""
    protocol = client_config.get("security.protocol", "plaintext").upper()
    if protocol not in {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}:
        raise Refused(f"security.protocol {protocol!r} is unknown: use plaintext, ssl, sasl_plaintext or sasl_ssl")
    context = _ssl_context(client_config) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL"):
        return None if context is None else SSLCredentials(context=context)
    mechanism = client_config.get("sasl.mechanism", client_config.get("sasl.mechanisms", "")).upper()
    if mechanism not in _SASL:
        raise Refused(f"sasl.mechanism {mechanism!r} cannot be used by the lane's consumer: use one of {sorted(_SASL)}")
    return SASLCredentials(
        username=client_config.get("sasl.username", ""),
        password=client_config.get("sasl.password", ""),
        mechanism=mechanism,
        ssl_context=context,
    )


def _ssl_context(client_config: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=client_config.get("ssl.ca.location"), cadata=client_config.get("ssl.ca.pem")
    )
    certificate = client_config.get("ssl.certificate.location")
    if certificate is not None:
        context.load_cert_chain(
            certificate, client_config.get("ssl.key.location"), client_config.get("ssl.key.password")
        )
    if client_config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if client_config.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
