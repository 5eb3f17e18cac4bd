"""The states of a job, the reasons why one is refused or waits, and which move is legal.

    requested ─▶ verifying_identity ─▶ awaiting_approval ─▶ grace ─▶ planning ─▶ running ─▶ awaiting_acks ─▶ completed
        │             │   │                 │    │           │ ▲        │          │          │  ▲ │             ▲
        │             │   │                 │    │           ▼ │        └──────────┴──────────┴──┼─┼─▶ failed    │
        │             │   └─────────────────│────┴─▶ cancelled ◀─ paused                         ▼ │             │
        │             │                     │                                            verifying ┼─────────────┤
        └──▶ refused ◀┴─────────────────────┘                                   completed_with_exceptions ◀──────┘

What would erase too much goes from planning to braked, and back when a person has approved its plan, or is cancelled
there. A `brake`, for which nobody asks, is braked from its beginning, and runs as long as what was approved is carried
out; it goes back from there when that is another plan by then, and is completed.

An `export` changes nothing, so it may be cancelled until it is done: from planning, running and awaiting_acks as well.
Stages that a kind of job has not are passed over. Used by the coordinator, the command line and the read model;
docs/requests.md says what each state means, `tests/unit/schemas/test_jobs.py` proves the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a job stands."""

    REQUESTED = "requested"
    VERIFYING_IDENTITY = "verifying_identity"
    AWAITING_APPROVAL = "awaiting_approval"
    GRACE = "grace"
    PLANNING = "planning"
    RUNNING = "running"
    AWAITING_ACKS = "awaiting_acks"
    BRAKED = "braked"
    VERIFYING = "verifying"
    PAUSED = "paused"
    COMPLETED = "completed"
    COMPLETED_WITH_EXCEPTIONS = "completed_with_exceptions"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


_S = State
_DONE: Final = (_S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS)
MOVES: Final[Mapping[State, frozenset[State]]] = {
    _S.REQUESTED: frozenset(
        {_S.REFUSED, _S.VERIFYING_IDENTITY, _S.AWAITING_APPROVAL, _S.GRACE, _S.PLANNING, _S.BRAKED, _S.COMPLETED}
    ),
    _S.VERIFYING_IDENTITY: frozenset({_S.AWAITING_APPROVAL, _S.PLANNING, _S.CANCELLED, _S.REFUSED}),
    _S.AWAITING_APPROVAL: frozenset({_S.GRACE, _S.PLANNING, _S.CANCELLED, _S.REFUSED}),
    _S.GRACE: frozenset({_S.PLANNING, _S.CANCELLED, _S.PAUSED}),
    _S.PLANNING: frozenset({_S.BRAKED, _S.RUNNING, _S.AWAITING_ACKS, _S.VERIFYING, *_DONE, _S.FAILED}),
    _S.BRAKED: frozenset({_S.PLANNING, _S.RUNNING, _S.COMPLETED, _S.CANCELLED}),
    _S.RUNNING: frozenset(
        {_S.BRAKED, _S.AWAITING_ACKS, _S.VERIFYING, _S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS, _S.FAILED}
    ),
    _S.AWAITING_ACKS: frozenset({_S.VERIFYING, _S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS, _S.FAILED}),
    _S.VERIFYING: frozenset({_S.AWAITING_ACKS, _S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS}),
    _S.PAUSED: frozenset({_S.GRACE, _S.CANCELLED}),
    _S.COMPLETED_WITH_EXCEPTIONS: frozenset({_S.AWAITING_ACKS, _S.VERIFYING, _S.COMPLETED}),
    _S.COMPLETED: frozenset({_S.AWAITING_ACKS, _S.VERIFYING}),
    _S.CANCELLED: frozenset(),
    _S.REFUSED: frozenset(),
    _S.FAILED: frozenset(),
}
"""From each state to those it may go to. A job that is done goes back to work when late data of the erased arrives."""

CANCELLABLE: Final[Mapping[str, frozenset[State]]] = {
    "export": frozenset({_S.PLANNING, _S.RUNNING, _S.AWAITING_ACKS}),
}
"""Kinds that may be cancelled although they have sent something, and from where."""

ENDED: Final = frozenset({_S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS, _S.CANCELLED, _S.REFUSED, _S.FAILED})
"""Nothing more is expected of whoever asked."""

DONE: Final = frozenset({_S.COMPLETED, _S.COMPLETED_WITH_EXCEPTIONS})
"""What was asked for is done, wholly or but for what is named."""

KINDS: Final = (
    "policy",
    "lock",
    "preview",
    "hold",
    "release",
    "erase",
    "rectify",
    "restrict",
    "unrestrict",
    "delete",
    "export",
    "cancel",
    "restore",
    "pause",
    "resume",
    "approve",
    "verify",
    "deny",
    "extend",
)
"""What may be asked for. Only an export can fail for good, and is asked for again: there is no `retry`."""

BRAKE: Final = "brake"
"""The kind of job that nobody asks for: a category that would lose unusually much waits for a person."""

JOB_KINDS: Final = (*KINDS, BRAKE)
"""What a job can be."""

PART_COUNTS: Final = ("due", "done", "changed", "withheld", "failed", "gone", "verified", "exempt", "residual")
"""What is counted of each part of a job: see the fields of `RequestStatus`."""

STANDING: Final = frozenset({"erase", "delete"})
"""Kinds that go on holding when they are done: what arrives late is erased as well."""

REASONS: Final[Mapping[str, str]] = {
    "oversized": "The message is larger than a request may be; it was not decoded.",
    "undecodable": "It is not Avro of a schema accepted here, or would not encode to the same bytes again.",
    "org_mismatch": "The org inside is not the message key, or lies in another partition.",
    "bad_org": "The org is longer than an org's name may be.",
    "bad_text": "The org holds a control character.",
    "bad_request_id": "It has no id, or one with other characters than ids have.",
    "no_rules": "The engine has no data map yet, so that nobody may ask for anything.",
    "unknown_requester": "The rules name no requester with this key id.",
    "bad_signature": "It is not signed by the requester or installation that it names.",
    "not_allowed": "This requester may not ask for this kind, or not for this org.",
    "bad_rules": "The rules contradict their own hash or version.",
    "bad_answer": "A ledger's answer has no body of its kind.",
    "id_reused": "Another request of the org had this id.",
    "expired": "It arrived after its own end.",
    "unknown_kind": "There is no such kind of request.",
    "bad_body": "A member is missing, unknown, of a wrong kind or out of range.",
    "bad_subjects": "Its subjects cannot be opened, or are too many, too long or none.",
    "unknown_org": "The org was never published.",
    "unknown_category": "The data map has no such category.",
    "unknown_field": "The data map lets nobody set this field.",
    "bad_values": "Its values are missing, too many, too long or of a wrong kind.",
    "bad_policy": "The settings are not allowed.",
    "stale_policy": "The policy was changed since it was read.",
    "policy_locked": "The policy may only be extended until its lock ends.",
    "wrong_org_name": "What was typed is not the org's name.",
    "hold_exists": "A hold with this id is in force.",
    "unknown_hold": "There is no such hold.",
    "restricted": "One of these people is restricted already.",
    "under_way": "A deletion of this org is under way.",
    "unknown_job": "The org has no such job.",
    "wrong_state": "The job is in a state from which this move is not legal.",
    "grace_over": "The grace of the deletion is over: what it erased cannot be brought back.",
    "own_approval": "Whoever asked cannot approve it.",
    "stale_plan": "What is braked is another plan by now.",
    "bad_token": "The token is not one of the installation for this plan, or has ended.",
    "too_late": "The deadline has passed, or was extended before.",
    "suspected_fraud": "A person denied it: it seems not to be made in good faith.",
    "insuf_verification": "A person denied it: who asks could not be made sure of.",
    "no_match": "A person denied it: who asks is nobody whose data is here.",
    "claim_not_covered": "A person denied it: the law gives no right to this here.",
    "outside_jurisdiction": "A person denied it: the law of where the data subject lives gives no such right.",
    "too_many_requests": "A person denied it: the same person asks again and again, without need.",
    "other": "A person denied it for a reason that is told to the data subject.",
}
"""Why a request is refused: a closed list of codes, each with its plain words."""

DENIALS: Final = tuple(list(REASONS)[list(REASONS).index("suspected_fraud") :])
"""What a person may deny a request for: the words of the Data Rights Protocol for the status `denied`."""

EXTENSIONS: Final = ("complexity", "number_of_requests")
"""Why a deadline may be extended (GDPR Art. 12(3))."""

UNHEARD: Final = frozenset(REASONS) - frozenset(list(REASONS)[list(REASONS).index("expired") :])
"""Those that leave a dead letter and no state: nobody who could be believed has asked, or the id is another job's."""


class IllegalMove(ValueError):
    """A job was to make a move that `MOVES` has not: a fault of ours, never of a request."""


def may_move(before: State, after: State, kind: str) -> bool:
    """Whether a job of `kind` may go from `before` to `after`."""
    return after in MOVES[before] or (after == State.CANCELLED and before in CANCELLABLE.get(kind, ()))


def move(before: State, after: State, kind: str = "") -> State:
    """Return `after`. Raises IllegalMove."""
    if not may_move(before, after, kind):
        raise IllegalMove(f"a job does not go from {before} to {after}")
    return after
