"""What a call can be answered with that is not what was asked for: RFC 9457, a closed list of types.

Raised anywhere below a call, made into `application/problem+json` by `ops.api.app`. docs/api.md prints the list;
`tests/unit/ops/api/test_problems.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from schemas.errors import EbbtideError
from schemas.jobs import DENIALS

PREFIX: Final = "urn:ebbtide:problem:"
MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One type: its usual status, and what it means in one sentence for a person."""

    status: int
    title: str


PROBLEMS: Final[Mapping[str, ProblemType]] = {
    "unauthenticated": ProblemType(401, "There is no token, or it is not valid here."),
    "login-too-old": ProblemType(
        401, "The sign-in is too long ago for a call that cannot be taken back: sign in again."
    ),
    "forbidden": ProblemType(403, "The token's role for this org does not allow the call."),
    "expired-link": ProblemType(403, "The file is handed out no longer: ask for the export again."),
    "not-found": ProblemType(404, "There is no such thing, or it is not yours."),
    "method-not-allowed": ProblemType(405, "The path has no such method."),
    "too-slow": ProblemType(408, "The body did not come in time."),
    "stale": ProblemType(412, "It was changed since it was read: read it again."),
    "too-large": ProblemType(413, "The body is larger than any call needs."),
    "invalid": ProblemType(422, "A member, a query or a header is not as it must be; `errors` says which."),
    "key-reused": ProblemType(422, "The Idempotency-Key stands for another call: choose a new one."),
    "refused": ProblemType(409, "The engine refused the job; `reason` is its code, `job` its id."),
    "too-many": ProblemType(429, "Too many calls or streams at once: wait as `Retry-After` says."),
    "internal": ProblemType(500, "A fault of the API; nothing of it is in the answer."),
    "unavailable": ProblemType(
        503, "PostgreSQL or Kafka did not answer: try again, with the same Idempotency-Key."
    ),
}  # fmt: skip

REFUSED_STATUS: Final[Mapping[str, int]] = {
    "bad_body": 422,
    "bad_subjects": 422,
    "unknown_category": 422,
    "unknown_field": 422,
    "bad_values": 422,
    "bad_policy": 422,
    "wrong_org_name": 422,
    "unknown_kind": 422,
    "unknown_org": 404,
    "unknown_hold": 404,
    "unknown_job": 404,
    "own_approval": 403,
    "bad_token": 403,
    "no_rules": 503,
}
"""HTTP's word for a reason of schemas/jobs.py; 409, a contradiction, for all others."""

NEXT_STEPS: Final[Mapping[str, str]] = {
    "expired": "Ask again.",
    "id_reused": "Choose another id.",
    "no_rules": "Run `ebbtide rules apply`, then ask again.",
    "unknown_org": "Publish the org first.",
    "unknown_category": "See GET /api/v1/privacy/retention for the categories.",
    "unknown_field": "Name one that the data map lets people set; docs/targets.md, Rectifying.",
    "stale_policy": "Read the retention again, and send the change with its ETag.",
    "policy_locked": "Extend only, or wait until the lock ends.",
    "wrong_org_name": "Type the org's name as it is registered.",
    "hold_exists": "Choose another hold_id, or release that hold first.",
    "unknown_hold": "See GET /api/v1/privacy/holds.",
    "restricted": "Lift the restriction that is named, or leave that person out.",
    "under_way": "Wait for the deletion, or for what it hid to come back, or restore the org while the grace lasts.",
    "unknown_job": "See GET /api/v1/privacy/jobs.",
    "wrong_state": "Look at the job's state: what is over cannot be moved.",
    "grace_over": "See the job for what was erased; it cannot be brought back.",
    "own_approval": "Let another owner approve it.",
    "stale_plan": "Read the job again: approve the plan that it has now, if that is meant.",
    "bad_token": "Make one with `ebbtide brake token` for the plan as it is now.",
    "too_late": "See it to its end; a deadline is extended once, before it has passed.",
    **dict.fromkeys(DENIALS, "Tell the data subject why, and that they may complain to the supervisory authority."),
}
"""What a person does about a reason; for all others: mend what `text` names, and ask again."""


@dataclass(eq=False)
class Problem(EbbtideError):
    """An answer that is not what was asked for. `name` is a key of PROBLEMS; `detail` and `more` go out as they are."""

    name: str
    detail: str = ""
    status: int = 0
    errors: Sequence[Mapping[str, str]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = self.status or PROBLEMS[self.name].status
        super().__init__(self.name)

    def body(self) -> dict[str, Any]:
        """Return the members of RFC 9457, and ours."""
        kind = PROBLEMS[self.name]
        members: dict[str, Any] = {"type": PREFIX + self.name, "title": kind.title, "status": self.status}
        if self.detail:
            members["detail"] = self.detail
        if self.errors:
            members["errors"] = [dict(error) for error in self.errors]
        return members | dict(self.more)


def invalid(*faults: tuple[str, str]) -> Problem:
    """Return a 422 that names each fault: a JSON pointer (RFC 6901) or `?name` for a query, and what is wrong."""
    return Problem("invalid", errors=[{"pointer": pointer, "detail": detail} for pointer, detail in faults])


def not_found() -> Problem:
    """Return the one answer for what is not there and for what is not theirs."""
    return Problem("not-found")


def refused(job: Mapping[str, Any]) -> Problem:
    """Return the problem for a job that the coordinator refused in time."""
    reason = str(job["reason"])
    more = {"reason": reason, "job": job["request_id"], "next_step": next_step(reason)}
    if reason == "stale_policy":
        return Problem("stale", detail=str(job["text"]), more=more)
    status = REFUSED_STATUS.get(reason, HTTPStatus.CONFLICT)
    return Problem("refused", detail=str(job["text"]), status=int(status), more=more)


def next_step(reason: str) -> str:
    """Return what a person does about a reason."""
    return NEXT_STEPS.get(reason, "Mend what is named, and ask again.")
