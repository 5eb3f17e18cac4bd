"""Every setting, read once from the environment into a frozen value. Nothing else reads the environment.

A setting's variable is `EBBTIDE_` and the field's name in capitals. Roles get them from `ebbtide up`, from compose or
from whatever starts them. `tests/unit/ops/test_settings.py` says what is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebbtide.envelope import public_key_of
from schemas.errors import Refused
from schemas.keys import api_seed, audit_seed

PREFIX = "EBBTIDE_"


class BadSetting(Refused):
    """A variable holds what its setting cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Text that is empty means: not configured. Secrets do not show in the repr."""

    kafka_bootstrap: str = ""
    """Brokers, `host:port[,host:port]`. Empty: `ebbtide up` starts one."""
    postgres_dsn: str = field(default="", repr=False)
    """`postgresql://user:password@host:port/database`. Empty: `ebbtide up` starts one."""
    read_model_dsn: str = field(default="", repr=False)
    """Where the read model is. Empty: `postgres_dsn`."""
    s3_endpoint: str = ""
    s3_access_key: str = field(default="", repr=False)
    s3_secret_key: str = field(default="", repr=False)
    s3_region: str = "us-east-1"
    s3_bucket: str = "ebbtide"
    export_bucket: str = ""
    """Where archives are written, at the S3 endpoint above. Empty: `s3_bucket`. Made if it is not there."""
    export_prefix: str = "exports"
    """What the names of archives' objects begin with."""
    export_link_endpoint: str = ""
    """Where those who are given a link reach the bucket. Empty: `s3_endpoint`."""
    export_link_access_key: str = field(default="", repr=False)
    """Under which the API signs links: it needs no more than `GetObject` there. Empty: `s3_access_key`."""
    export_link_secret_key: str = field(default="", repr=False)
    export_link_s: int = 86_400
    """How long an archive's files are handed out. Seconds."""
    export_margin_s: int = 3_600
    """How long an archive stays after its last link. Seconds."""
    export_bundle_bytes: int = 32 << 20
    """Up to this size (compressed) an archive that is to be bundled becomes one ZIP. Bytes."""
    registry_url: str = ""
    """Confluent-compatible schema registry. Empty: fixed schema ids."""
    data_dir: Path = Path(".ebbtide")
    """Local state of roles: RocksDB, keys of `ebbtide up`, the local stack's data."""
    cache_dir: Path = Path("~/.cache/ebbtide")
    """Parts of the local stack that were fetched or built once."""
    data_map: str = ""
    """Path of the data map. Empty: the map of the demo."""
    prefix: str = "ebbtide"
    """First part of every topic, group and transactional id: one prefix is one engine."""
    partitions: int = 12
    """Of every topic; fixed when the topics are created."""
    slot: str = "0"
    """Which worker of its role this is: static membership and the data directory are tied to it."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    """0: any free port."""
    day_seconds: float = 0.0
    """For tests only: a day of the engine's time passes in so many seconds. 0: real time. Refused in production."""
    clock_anchor_ms: int = 0
    """With day_seconds: the real time at which engine time began to run fast, ms since the epoch."""
    environment: str = "development"
    """`development` or `production`."""
    master_key: str = field(default="", repr=False)
    """64 hex digits: per-org subject keys are derived from it."""
    dead_letter_key: str = field(default="", repr=False)
    """64 hex digits: dead letters' payloads are encrypted under it."""
    signing_key: str = field(default="", repr=False)
    """64 hex digits, an Ed25519 seed: signs the rules, and requests of the command line and the API."""
    api_signing_key: str = field(default="", repr=False)
    """64 hex digits, an Ed25519 seed: signs the API's requests. Empty: derived from the signing key."""
    audit_signing_key: str = field(default="", repr=False)
    """64 hex digits, an Ed25519 seed: signs the heads of the audit logs. Empty: derived from the signing key."""
    rules_public_key: str = ""
    """64 hex digits, its public half: all that a coordinator needs of it. Empty: taken from the signing key."""
    lateness_s: int = 60
    """How far ledger time stays behind the clock, for events that were published late. Seconds."""
    tick_s: float = 1.0
    """How often the clock ticks. Seconds."""
    session_timeout_s: int = 12
    """After so many seconds of silence a worker is taken to be gone."""
    api_host: str = "127.0.0.1"
    """Where the HTTP API listens. It speaks plain HTTP: elsewhere than on loopback, what ends TLS stands before it."""
    api_port: int = 0
    """0: any free port."""
    api_issuer: str = ""
    """`iss` of the tokens that the API takes."""
    api_audience: str = "ebbtide"
    """`aud` of the tokens that the API takes."""
    api_jwks: str = ""
    """The issuer's public keys, a JWK set (RFC 7517): the path of a file, which may change, or the set itself."""
    api_wait_s: float = 3.0
    """How long a write waits for its job's state before it is answered with `requested`. Seconds."""
    api_calls_per_minute: int = 600
    """Of one principal; a tenth may come at once."""
    heap_mb: int = 512
    """Java heap of a broker started by us."""

    def key(self, name: str) -> bytes:
        """Return the 32 bytes of the key setting `name`. Raises BadSetting."""
        text: str = getattr(self, name)
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise BadSetting(
                f"{PREFIX}{name.upper()} must be 64 hex digits: make one with `python -c 'import secrets; "
                f"print(secrets.token_hex(32))'` and keep it safe; {_WHY[name]}"
            )
        return raw

    @property
    def model_dsn(self) -> str:
        """Where the read model is."""
        return self.read_model_dsn or self.postgres_dsn

    def api_key(self) -> bytes:
        """Return the API's signing key, 32 bytes. Raises BadSetting."""
        return self.key("api_signing_key") if self.api_signing_key else api_seed(self.key("signing_key"))

    def audit_key(self) -> bytes:
        """Return the auditor's signing key, 32 bytes. Raises BadSetting."""
        return self.key("audit_signing_key") if self.audit_signing_key else audit_seed(self.key("signing_key"))

    def rules_key(self) -> bytes:
        """Return the public key (32 bytes) of whoever may put rules in force. Raises BadSetting."""
        if self.rules_public_key:
            return self.key("rules_public_key")
        if not self.signing_key:
            raise BadSetting(
                f"{PREFIX}RULES_PUBLIC_KEY is not set: without it nobody can be believed; take it from "
                "`ebbtide rules key`"
            )
        return public_key_of(self.key("signing_key"))


_WHY: Mapping[str, str] = {
    "master_key": "without it subjects cannot be found again",
    "dead_letter_key": "without it no dead letter opens",
    "signing_key": "without it no rules and no requests can be signed",
    "audit_signing_key": "without it no head of an audit log can be signed",
    "api_signing_key": "without it the API cannot sign requests",
    "rules_public_key": "this one is the public half that `ebbtide rules key` prints",
}


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return PREFIX + name.upper()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`. Raises BadSetting naming the variable, its value's fault and the fix."""
    values: dict[str, Any] = {}
    for f in dataclasses.fields(Settings):
        text = environ.get(variable(f.name))
        if text is not None and text != "":
            values[f.name] = _parse(f.name, str(f.type), text)
    settings = Settings(**values)
    return _check(settings)


def to_environ(settings: Settings) -> dict[str, str]:
    """Return the variables that make `read_settings` give `settings` again, for a process we start."""
    return {variable(f.name): str(getattr(settings, f.name)) for f in dataclasses.fields(Settings)}


def _parse(name: str, kind: str, text: str) -> Any:
    try:
        match kind:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "Path":
                return Path(text)
            case _:
                return text
    except ValueError:
        raise BadSetting(f"{variable(name)} must be a number ({kind}), not {text!r}") from None


def _check(s: Settings) -> Settings:
    if not 1 <= s.partitions <= 1024:
        raise BadSetting(f"{variable('partitions')} must lie between 1 and 1024, not {s.partitions}")
    if s.environment not in {"development", "production"}:
        raise BadSetting(f"{variable('environment')} must be development or production, not {s.environment!r}")
    if s.day_seconds and s.environment == "production":
        raise BadSetting(
            f"{variable('day_seconds')} makes time run fast and would erase early: refused in production; unset it"
        )
    if s.day_seconds < 0:
        raise BadSetting(f"{variable('day_seconds')} must not be negative, not {s.day_seconds:g}")
    if s.tick_s <= 0:
        raise BadSetting(f"{variable('tick_s')} must be above 0, not {s.tick_s:g}")
    if not 60 <= s.export_link_s <= 604_800:  # what a signature of S3 can say at most
        raise BadSetting(f"{variable('export_link_s')} must lie between 60 and 604800, not {s.export_link_s}")
    if s.export_margin_s < 0:
        raise BadSetting(f"{variable('export_margin_s')} must not be negative, not {s.export_margin_s}")
    if not 0 <= s.export_bundle_bytes <= 128 << 20:
        raise BadSetting(
            f"{variable('export_bundle_bytes')} must lie between 0 and {128 << 20}, not {s.export_bundle_bytes}: "
            "a part of a bundle is held in memory"
        )
    if s.lateness_s < 0:
        raise BadSetting(f"{variable('lateness_s')} must not be negative, not {s.lateness_s}")
    if s.api_wait_s < 0:
        raise BadSetting(f"{variable('api_wait_s')} must not be negative, not {s.api_wait_s:g}")
    if s.api_calls_per_minute < 1:
        raise BadSetting(f"{variable('api_calls_per_minute')} must be at least 1, not {s.api_calls_per_minute}")
    return dataclasses.replace(s, cache_dir=s.cache_dir.expanduser(), data_dir=s.data_dir.expanduser())
