"""Which targets there are, and where: the section `targets` of the data map.

    targets: {crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}", backups: {keep_days: 30, note: nightly dumps}}}

Called by `schemas.datamap`, whose tests cover it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.plans import BadPlan, check_column, check_target
from schemas.rules import Backups, BadRules
from schemas.s3plan import check_bucket, check_endpoint, check_region
from schemas.yamlmap import Table, near

KINDS: Final = ("postgres", "kafka", "consumer", "s3")

_TARGET_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "postgres": ("kind", "dsn", "schema", "vacuum", "vacuum_every_s"),
    "kafka": ("kind", "bootstrap", "nudge_key"),
    "consumer": ("kind",),
    "s3": ("kind", "endpoint", "region", "bucket", "access_key", "secret_key", "replicas"),
}
VACUUMS: Final = ("plain", "full", "off")
"""How tables of a PostgreSQL target are vacuumed behind erasures: docs/gone.md."""

_S3_MUST: Final = {
    "endpoint": '"${EBBTIDE_S3_ENDPOINT}"',
    "bucket": "media",
    "access_key": '"${EBBTIDE_S3_ACCESS_KEY}"',
    "secret_key": '"${EBBTIDE_S3_SECRET_KEY}"',
}
_DAY_S: Final = 86_400
_MOST_KEY: Final = 249
_S3_CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "endpoint": check_endpoint,
    "region": check_region,
    "bucket": check_bucket,
}


@dataclass(frozen=True, slots=True)
class TargetMap:
    """One target. `options` are those of its kind, such as `dsn` or `bootstrap`; they may hold a password.

    `replicas`, of kind s3, are further buckets of the same endpoint that hold copies under the same keys.
    `backups` None: nothing is said of them.
    """

    name: str
    kind: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    replicas: tuple[str, ...] = ()
    backups: Backups | None = None


def read_targets(top: Table, variables: Mapping[str, str]) -> dict[str, TargetMap]:
    """Read the section `targets`; `variables` are what `${NAME}` may stand for. Raises schemas.yamlmap.BadFile."""
    found = top.table("targets")
    if found is None or not found.entries:
        raise top.where.refuse("the file has no 'targets'; add at least one, such as `crm: {kind: postgres, dsn: ...}`")
    targets = {}
    for name, entry in found.tables():
        try:
            check_target(name)
        except BadPlan as error:
            raise entry.where.refuse(str(error)) from None
        kind = entry.must("kind", "postgres")
        if kind.text not in KINDS:
            raise kind.where.refuse(f"kind {kind.text!r} of target {name!r} is unknown{near(kind.text, KINDS)}")
        entry.only(*_TARGET_KEYS[kind.text], "backups")
        if kind.text == "postgres":
            entry.must("dsn", '"${EBBTIDE_POSTGRES_DSN}"')
        schema = entry.scalar("schema")
        if schema is not None:
            try:
                check_column(schema.text)
            except BadPlan:
                raise schema.where.refuse(
                    f"{schema.text!r} is not a schema's name; write letters, digits and _"
                ) from None
        _check_upkeep(entry)
        plain = [key for key in entry.entries if key not in ("kind", "replicas", "backups")]
        options = {k: s.filled(variables) for k in plain if (s := entry.scalar(k))}
        replicas = _check_s3(entry, options) if kind.text == "s3" else ()
        targets[name] = TargetMap(name, kind.text, options, replicas, _backups(entry))
    return targets


def _backups(entry: Table) -> Backups | None:
    """Read what a target says of its backups."""
    found = entry.table("backups")
    if found is None:
        return None
    note = found.only("keep_days", "note").scalar("note")
    days = found.must("keep_days", "30")
    try:
        return Backups(keep_days=days.number(), note=note.text if note is not None else "")
    except BadRules as error:
        raise found.where.refuse(f"{found.where.path}: {error}") from None


def _check_upkeep(entry: Table) -> None:
    """Check what a target says about how bytes go."""
    vacuum, every, nudge = (entry.scalar(key) for key in ("vacuum", "vacuum_every_s", "nudge_key"))
    if vacuum is not None and vacuum.text not in VACUUMS:
        raise vacuum.where.refuse(f"{vacuum.where.path} is {vacuum.text!r}{near(vacuum.text, VACUUMS)}")
    if every is not None and not 1 <= every.number() <= _DAY_S:
        raise every.where.refuse(f"{every.where.path} is {every.text}; write seconds, from 1 to {_DAY_S}")
    if nudge is not None and not 0 < len(nudge.text) <= _MOST_KEY:
        raise nudge.where.refuse(f"{nudge.where.path} is empty or long; write a key of at most {_MOST_KEY} characters")


def _check_s3(entry: Table, options: Mapping[str, str]) -> tuple[str, ...]:
    """Check the options of an S3 target; return its replicas."""
    for key, example in _S3_MUST.items():
        said = entry.must(key, example)
        if key.endswith("_key") and not re.fullmatch(r"\$\{[^}]*\}", said.text):
            raise said.where.refuse(
                f"{said.where.path} must come from the environment: write `{key}: {example}`, or another variable"
            )
    for key, check in _S3_CHECKS.items():
        if key in options:
            try:
                check(options[key])
            except BadPlan as error:
                raise entry.lines[key].refuse(f"{entry.where.path}.{key}: {error}") from None
    buckets = [options["bucket"]]
    for replica in entry.words("replicas"):
        try:
            buckets.append(check_bucket(replica.text))
        except BadPlan as error:
            raise replica.where.refuse(f"{replica.where.path}: {error}") from None
        if buckets.count(replica.text) > 1:
            raise replica.where.refuse(f"{replica.where.path} names bucket {replica.text!r} twice; leave one out")
    return tuple(buckets[1:])
