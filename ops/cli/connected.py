"""The settings of a command that speaks to a running engine."""

from __future__ import annotations

import os

from ops.settings import Settings, read_settings
from schemas.errors import Refused


def connected_settings() -> Settings:
    """Return the environment's settings. Raises Refused where they do not say which brokers."""
    settings = read_settings(os.environ)
    if not settings.kafka_bootstrap:
        raise Refused("EBBTIDE_KAFKA_BOOTSTRAP is not set: give it the address that `ebbtide up` prints")
    return settings
