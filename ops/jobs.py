"""Jobs, holds and policies as they stand, read from their compacted topics. Used by the command line."""

from __future__ import annotations

import json
from typing import Any

from ebbtide.envelope import status_key
from ebbtide.wire import Codec
from ops.compacted import newest_values
from schemas.errors import Refused
from schemas.topics import Topics

Record = dict[str, Any]


class UnknownJob(Refused):
    """The org has no such job."""


def read_jobs(bootstrap: str, topics: Topics, codec: Codec, *, org: str = "") -> list[Record]:
    """Return the newest state of every job, or of one org's, the newest job last; `detail` is read."""
    found = [_job(codec.decode(raw)[1]) for raw in newest_values(bootstrap, topics.request_status).values()]
    return sorted((job for job in found if org in ("", job["org"])), key=lambda job: (job["requested_at"], job["at"]))


def read_job(bootstrap: str, topics: Topics, codec: Codec, *, org: str, request_id: str) -> Record:
    """Return the newest state of one job. Raises UnknownJob."""
    raw = newest_values(bootstrap, topics.request_status).get(status_key(org, request_id))
    if raw is None:
        raise UnknownJob(f"org {org!r} has no job {request_id!r}: see `ebbtide jobs list --org {org}`")
    return _job(codec.decode(raw)[1])


def read_holds(bootstrap: str, topics: Topics, codec: Codec, *, org: str = "") -> list[Record]:
    """Return every hold that is not over, or those of one org. Whom it concerns is a number: `subjects`."""
    found = [codec.decode(raw)[1] for raw in newest_values(bootstrap, topics.holds).values()]
    shown = [hold | {"subjects": len(hold["subjects"]) // 8} for hold in found if org in ("", hold["org"])]
    return sorted(shown, key=lambda hold: (hold["org"], hold["placed_at"]))


def read_policy_history(bootstrap: str, topics: Topics, codec: Codec, *, org: str) -> list[Record]:
    """Return every version of an org's policy, the first one first."""
    prefix = org.encode() + b"\0"
    found = newest_values(bootstrap, topics.policies)
    versions = [codec.decode(raw)[1] for key, raw in found.items() if key.startswith(prefix)]
    return sorted(versions, key=lambda version: int(version["version"]))


def _job(status: Record) -> Record:
    return status | {"detail": json.loads(status["detail"])}
