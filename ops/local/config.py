"""What the local stack is to be: addresses that exist already, and how to run what does not.

Filled by `ops.settings` for `ebbtide up` and by `tests/conftest.py` for tests; nothing here reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

__all__ = ["DEFAULT_CACHE_DIR", "StackConfig"]

DEFAULT_CACHE_DIR = Path.home() / ".cache" / "ebbtide"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """One stack. A service with an address is used where it is; the others are started.

    `stand_ins` says whether something that only resembles a service may take its place when the real one cannot be
    had: librdkafka's mock broker for Kafka, moto for S3. Each says so in its notes. Tests turn it off.

    `kafka_short`: the native broker lives for minutes only, and is not compiled as thoroughly as one that lasts.
    """

    kafka_bootstrap: str | None = None
    postgres_dsn: str | None = field(default=None, repr=False)
    s3_endpoint: str | None = None
    s3_access_key: str | None = None
    s3_secret_key: str | None = field(default=None, repr=False)
    s3_bucket: str = "ebbtide"
    s3_region: str = "us-east-1"
    cache_dir: Path = DEFAULT_CACHE_DIR
    docker: bool = True
    stand_ins: bool = True
    kafka_properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    kafka_heap: str = "512m"
    kafka_short: bool = False
    postgres_fsync: bool = True
