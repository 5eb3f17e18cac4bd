"""What `gone` means in buckets: no version, marker or unfinished upload is listed; what a lock holds is named.

Used by `sinks.s3`; `tests/unit/sinks/test_s3_state.py` and `tests/integration/targets/test_s3.py` say what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from sinks.gone import DELETED, GONE, NONE, Bound, Gone, Unknown
from sinks.s3_listing import Entry
from sinks.s3_state import BucketState

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

NOT_COVERED: Final = (
    "Not covered: the provider's disks and backups, caches and access logs in front of the buckets, copies that the "
    "data map does not name"
)
MOST_ASKED: Final = 100
"""Versions that are asked why they are still there: one answers for its like."""


def bound_of(states: Sequence[BucketState]) -> Bound:
    """Return what buckets of these settings promise: at once, or when the default lock of the slowest one ends."""
    hidden = [state.bucket for state in states if not state.tells_all]
    said = ". ".join(state.words() for state in states)
    return Bound(
        level=DELETED if hidden else GONE,
        gone_within_s=Unknown(f"the endpoint does not list all that it keeps in {', '.join(hidden)}")
        if hidden
        else max((state.lock_s for state in states), default=0.0),
        depends_on=f"{said}. {NOT_COVERED}",
        watch=tuple(f"bucket {s.bucket}: object lock is not known" for s in states if isinstance(s.lock, Unknown)),
    )


def judge(bound: Bound, left: int | Unknown, locks: Iterable[str]) -> Gone:
    """Return the answer for a batch of which `left` rows are still listed."""
    if left != 0:
        return Gone(level=NONE, left=left, blocked_by=tuple(sorted(set(locks))))
    if bound.level != GONE:
        return Gone.deleted(
            0, bound.gone_within_s.why if isinstance(bound.gone_within_s, Unknown) else "not all is seen"
        )
    return Gone(level=GONE, left=0)


def lock_of(client: S3Client, bucket: str, entry: Entry) -> str | None:
    """Return what object lock does about a version now, in words; None where it does nothing or is not told."""
    if entry.version is None or entry.marker:
        return None
    try:
        head = client.head_object(Bucket=bucket, Key=entry.key, VersionId=entry.version)
    except (ClientError, BotoCoreError):
        return None
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return f"bucket {bucket}: a legal hold keeps versions until it is lifted"
    until = head.get("ObjectLockRetainUntilDate")
    if until is not None and until > datetime.now(UTC):
        return f"bucket {bucket}: object lock keeps versions until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return None
