"""What a bucket's live settings say about erasure: versions, locks, copies elsewhere, lifecycle.

Read by `check` and `bound` of `sinks.s3` and shown by `ebbtide doctor`. What the endpoint does not tell is Unknown, and
said so. `tests/unit/sinks/test_s3_state.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from sinks.gone import Unknown
from sinks.s3_client import UNSUPPORTED, asking, code_of, is_transient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

NEVER: Final = "never"
ENABLED: Final = "Enabled"
SUSPENDED: Final = "Suspended"

_NOT_SET: Final = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "ReplicationConfigurationNotFoundError",
        "NoSuchReplicationConfiguration",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketState:
    """A bucket's settings, now.

    versioning: `Enabled`, `Suspended`, or `never`, also where the endpoint knows none.
    lists_versions: whether versions can be listed and named; None while the bucket is empty and shows nothing.
    lists_uploads: whether unfinished uploads can be listed.
    lock: None without object lock, else its default rule in words. lock_s: how long that rule locks what is written, 0
    without one. replicates_to: buckets that rules in force name.
    """

    bucket: str
    versioning: str
    mfa_delete: bool
    lists_versions: bool | None
    lists_uploads: bool
    lock: str | Unknown | None
    lock_s: float
    replicates_to: tuple[str, ...] | Unknown
    lifecycle_rules: int | Unknown

    @property
    def versioned(self) -> bool:
        """Whether older versions may be there."""
        return self.versioning != NEVER

    @property
    def tells_all(self) -> bool:
        """Whether the endpoint shows all that it keeps of an object: versions by their ids, and unfinished uploads."""
        return self.lists_uploads and self.lists_versions is not False

    def words(self) -> str:
        """Say in plain words what an erasure means here, and what it does not."""
        said = [self._versions()]
        if not self.lists_uploads:
            said.append("unfinished uploads cannot be listed here, so they are left as they are")
        if isinstance(self.lock, Unknown):
            said.append(f"object lock is unknown ({self.lock.why})")
        elif self.lock is not None:
            said.append(f"object lock is on ({self.lock}): what it holds is withheld")
        if isinstance(self.replicates_to, Unknown):
            said.append(f"replication is unknown ({self.replicates_to.why}): name every copy in the data map")
        elif self.replicates_to:
            said.append(f"copies go to {', '.join(self.replicates_to)}, whose versions no delete here reaches")
        if isinstance(self.lifecycle_rules, Unknown):
            said.append(f"lifecycle rules are unknown ({self.lifecycle_rules.why})")
        elif self.lifecycle_rules:
            said.append(f"{self.lifecycle_rules} lifecycle rules are in force")
        return f"bucket {self.bucket}: " + "; ".join(said)

    def _versions(self) -> str:
        if not self.versioned:
            return (
                "keeps no versions: an object goes for good when it is deleted, nothing is claimed about versions, "
                "and there is no soft delete"
            )
        kept = "keeps versions" if self.versioning == ENABLED else "has stopped keeping versions, and may hold old ones"
        return f"{kept}: every version and delete marker of a record goes"


def read_state(client: S3Client, target: str, bucket: str) -> BucketState:
    """Ask the bucket. Raises SinkUnavailable; PlanBroken where it is not there or may not be used."""
    with asking(target, bucket):
        versioning, mfa_delete = _versioning(client, bucket)
        unlocked: tuple[str | None, float] = (None, 0.0)
        locks = _optional(lambda: client.get_object_lock_configuration(Bucket=bucket), _lock, unlocked)
        lock, lock_s = (locks, 0.0) if isinstance(locks, Unknown) else locks
        return BucketState(
            bucket=bucket,
            versioning=versioning,
            mfa_delete=mfa_delete,
            lists_versions=lists_versions(client, bucket),
            lists_uploads=_lists_uploads(client, bucket),
            lock=lock,
            lock_s=lock_s,
            replicates_to=_optional(lambda: client.get_bucket_replication(Bucket=bucket), _destinations, ()),
            lifecycle_rules=_optional(
                lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket), lambda said: len(said["Rules"]), 0
            ),
        )


def lists_versions(client: S3Client, bucket: str) -> bool | None:
    """Prove that the endpoint lists versions by their ids: an empty answer may mean that it lists none at all.

    Taken for proven only when a version was seen; refuted when there are objects and no version of any.
    """
    try:
        said = client.list_object_versions(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        if code_of(error) in UNSUPPORTED:
            return False
        raise
    entries = [*said.get("Versions", ()), *said.get("DeleteMarkers", ())]
    if entries:
        return all(entry.get("Key") and entry.get("VersionId") for entry in entries)
    return False if client.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents") else None


def versioning_of(client: S3Client, bucket: str) -> str:
    """Return `Enabled`, `Suspended` or `never`."""
    return _versioning(client, bucket)[0]


def _versioning(client: S3Client, bucket: str) -> tuple[str, bool]:
    try:
        said = client.get_bucket_versioning(Bucket=bucket)
    except ClientError as error:
        if code_of(error) not in UNSUPPORTED:
            raise
        client.head_bucket(Bucket=bucket)  # an endpoint without versions still says whether the bucket is there
        return NEVER, False
    return str(said.get("Status") or NEVER), said.get("MFADelete") == "Enabled"


def _lists_uploads(client: S3Client, bucket: str) -> bool:
    try:
        client.list_multipart_uploads(Bucket=bucket, MaxUploads=1)
    except ClientError as error:
        if code_of(error) in UNSUPPORTED:
            return False
        raise
    return True


def _optional(ask: Callable[[], Any], read: Callable[[Mapping[str, Any]], T], unset: T) -> T | Unknown:
    try:
        return read(ask())
    except ClientError as error:
        if is_transient(error):
            raise
        return unset if code_of(error) in _NOT_SET else Unknown(f"the endpoint answered {code_of(error)}")


def _lock(said: Mapping[str, Any]) -> tuple[str | None, float]:
    """Return the default rule in words, and the seconds for which it locks what is written."""
    found = said.get("ObjectLockConfiguration", {})
    if found.get("ObjectLockEnabled") != "Enabled":
        return None, 0.0
    rule = found.get("Rule", {}).get("DefaultRetention")
    if not rule:
        return "for single versions", 0.0
    days = rule.get("Days") or 366 * rule.get("Years", 0)
    period = f"{rule['Days']} days" if rule.get("Days") else f"{rule.get('Years')} years"
    return f"{rule.get('Mode')}, {period} for whatever is written", days * 86_400.0


def _destinations(said: Mapping[str, Any]) -> tuple[str, ...]:
    rules = said.get("ReplicationConfiguration", {}).get("Rules", ())
    arns = {rule["Destination"]["Bucket"] for rule in rules if rule.get("Status") == "Enabled"}
    return tuple(sorted(str(arn).rpartition(":")[2] for arn in arns))
