"""The shapes of bodies, both ways: what is not named here is refused, and OpenAPI is made from it.

Times are ms since the epoch, UTC, as everywhere in ebbtide; days are dates. Numbers and truth are JSON's own, no text
that looks like them.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from ebbtide.envelope import MAX_SUBJECTS, is_id
from ebbtide.events import MAX_ID_BYTES
from schemas.jobs import DENIALS, EXTENSIONS
from schemas.values import MAX_FIELDS, value_fault


def _subject(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("is not text that UTF-8 can hold") from None
    if not 0 < size <= MAX_ID_BYTES:
        raise ValueError(f"has {size} bytes; 1 to {MAX_ID_BYTES} are allowed")
    return text


def _value(value: Any) -> Any:
    if fault := value_fault(value):
        raise ValueError(fault)
    return value


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError("write 1 to 128 letters, digits, '.', '_', ':' and '-'")
    return text


Subject = Annotated[str, AfterValidator(_subject)]
Subjects = Annotated[list[Subject], Field(min_length=1, max_length=MAX_SUBJECTS)]
Id = Annotated[str, AfterValidator(_id)]
Category = Annotated[str, Field(min_length=1, max_length=64)]
Categories = Annotated[list[Category], Field(min_length=1, max_length=1000)]
Value = Annotated[Any, AfterValidator(_value), WithJsonSchema({"type": ["string", "number", "null"]})]
Values = Annotated[
    dict[Category, Annotated[dict[str, Value], Field(min_length=1, max_length=MAX_FIELDS)]], Field(min_length=1)
]
"""What fields of a category are set to."""
Day = Annotated[date, Field(strict=False)]
"""A date as text, `2027-01-31`."""
Regime = Annotated[str, Field(min_length=1, max_length=48)]
SHORT_DAYS = Field(None, ge=1, le=3650)


class Asked(BaseModel):
    """A body that somebody sends."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """A body that we send."""

    model_config = ConfigDict(extra="forbid")


class SettingAsked(Asked):
    """One category's retention. Absent: stays as it is; `default`: as the rules say."""

    period: Annotated[str, Field(max_length=64)] | None = Field(None, examples=["90 d", "12 months", "while_active"])
    clock: Annotated[str, Field(max_length=80)] | None = Field(None, examples=["created", "last_activity"])
    min_retain: Annotated[str, Field(max_length=64)] | None = Field(None, examples=["7 years"])
    action: Annotated[str, Field(max_length=16)] | None = Field(None, examples=["delete", "anonymise"])


class Change(Asked):
    """A change of some categories' retention: what is absent stays."""

    messages_days: int | None = SHORT_DAYS
    logs_days: int | None = SHORT_DAYS
    metrics_days: int | None = SHORT_DAYS
    settings: Annotated[dict[Category, SettingAsked], Field(max_length=1000)] | None = None


class RetentionAsked(Change):
    """A change of retention, on top of a template that is taken over or of what there is."""

    template: Annotated[str, Field(max_length=64)] | None = None


class PreviewAsked(Change):
    """A change that is not made, or none; counted as of a day."""

    as_of: Day | None = None


class LockAsked(Asked):
    """Settings may only be extended until then."""

    until: Day


class DeleteAsked(Asked):
    """The org goes after its grace; its name is typed, so that it is the right one."""

    confirm_org_name: Annotated[str, Field(min_length=1, max_length=1000)]
    delete_media: bool = True
    grace_period_days: int = Field(7, ge=0, le=30)


class RestoreAsked(Asked):
    """The deletion that is called off; what it hides is brought back."""

    job: Id


class PeopleAsked(Asked):
    """A request of people about themselves.

    `categories` are of an erasure or a restriction; of a rectification `values`, category to field to what it becomes,
    and `records`, if only these of theirs are meant.
    """

    type: Literal["erasure", "rectification", "restriction"]
    subjects: Subjects = Field(repr=False)
    categories: Categories | None = None
    values: Values | None = Field(None, repr=False)
    records: Annotated[list[Subject], Field(min_length=1, max_length=1000)] | None = None
    regime: Regime | None = Field(None, examples=["gdpr", "ccpa"])
    identity: Literal["verified", "unverified"] | None = None


class ApprovalAsked(Asked):
    """Of a braked job the plan that was seen, by its hash; a token of the installation stands for a second person."""

    plan: str = Field(default="", max_length=64)
    token: str = Field(default="", max_length=200)


class DenialAsked(Asked):
    """Why a person's request is refused, in the words of the Data Rights Protocol."""

    reason: Literal[DENIALS]  # type: ignore[valid-type]


class ExtensionAsked(Asked):
    """Why a request takes longer (GDPR Art. 12(3)); the data subject must be told within a month."""

    reason: Literal[EXTENSIONS]  # type: ignore[valid-type]


class ExportAsked(Asked):
    """A copy of what the org has, or of what these people have."""

    format: Literal["json", "csv", "both"] = "json"
    include_media: bool = True
    subjects: Subjects | None = Field(None, repr=False)
    regime: Regime | None = Field(None, examples=["gdpr", "ccpa"])
    identity: Literal["verified", "unverified"] | None = None


class HoldAsked(Asked):
    """A legal hold: of the org, of categories, of people, of records."""

    hold_id: Id | None = None
    categories: Categories | None = None
    subjects: Subjects | None = Field(None, repr=False)
    records: Annotated[list[Subject], Field(min_length=1, max_length=1000)] | None = None
    grace_days: int = Field(30, ge=0, le=365)


class Part(Told):
    """How far one ledger partition is with one target, or all of them together, in records.

    Of those `done` no query returns any. `gone`: the target's files have them no more; `verified`: it was asked for
    them again once its bound had passed; `exempt`: it can say no more than done. `residual` came back, and were erased
    anew. `blocked_by`: what keeps them from being gone.
    """

    target: str
    partition: int | None = None
    due: int
    done: int
    changed: int
    withheld: int
    failed: int
    gone: int
    verified: int
    exempt: int
    residual: int
    blocked_by: str | None = None


class Fault(Told):
    """Why a job was refused or failed, or what it waits for; what a person does about it."""

    code: str
    text: str
    next_step: str


class File(Told):
    """A file of an export. `href` is answered with a link to it, until the links end."""

    name: str
    bytes: int
    sha256: str
    format: str
    rows: int
    href: str


class HandOut(Told):
    """A file of an export that was handed out. `principal` is a keyed hash."""

    file: int
    name: str
    principal: str
    at: int


class Job(Told):
    """A request and what became of it. `deadline` 0: none by law. `targets` sum up `parts`.

    `files` are an export's, `hand_outs` who got which of them; null in a list of jobs.
    """

    id: str
    org: str
    kind: str
    state: str
    version: int
    requested_by: str
    requested_at: int
    updated_at: int
    deadline: int
    due: int
    done: int
    targets: list[Part]
    parts: list[Part]
    error: Fault | None
    detail: dict[str, Any]
    files: list[File] | None
    hand_outs: list[HandOut] | None
    links: dict[str, str]


class BulkJob(Told):
    """One of the jobs that a file of people became."""

    id: str
    href: str
    subjects: int
    state: str
    error: Fault | None


class Bulk(Told):
    """What a file of people became. `subjects`: how many there are in it, each counted once."""

    org: str
    subjects: int
    jobs: list[BulkJob]


class Jobs(Told):
    """A page of jobs."""

    jobs: list[Job]
    next: str | None = None


class Held(Told):
    """What holds for one category."""

    period: str
    clock: str
    min_retain: str
    action: str
    set_by_org: bool


class Retention(Told):
    """An org's retention. Short days are absent where a period is no number of days."""

    org: str
    version: int
    messages_days: int | None
    logs_days: int | None
    metrics_days: int | None
    settings: dict[str, dict[str, str]]
    effective: dict[str, Held]
    template: str
    locked_until: str | None
    updated_at: int


class PolicyVersion(Told):
    """One version of an org's policy."""

    version: int
    settings: dict[str, dict[str, str]]
    template: str
    locked_until: str | None
    set_at: int
    job: str
    requested_by: str


class History(Told):
    """A page of versions, the newest first."""

    versions: list[PolicyVersion]
    next: str | None = None


class Hold(Told):
    """A legal hold. `subjects` is how many people it names: who they are is not kept here."""

    id: str
    org: str
    state: str
    categories: list[str]
    subjects: int
    records: list[str]
    grace_days: int
    job: str
    placed_at: int
    released_at: int
    updated_at: int


class Holds(Told):
    """A page of holds."""

    holds: list[Hold]
    next: str | None = None


class Health(Told):
    """Whether it can work."""

    ok: bool


class ProblemBody(BaseModel):
    """RFC 9457; the types are listed in docs/api.md."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[dict[str, str]] | None = None
