"""What the data map, the templates and the settings decide for every partition, as one entry of the log.

Made by `schemas.datamap`, published as `RulesSet` and `Rules`, read by gateway, ledger and coordinator: what a rule
says never comes from a worker's own file (DESIGN §2). `tests/unit/schemas/test_rules.py` says what it promises.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from schemas.brake import BadBrake, Brake, Limits
from schemas.errors import Refused
from schemas.jobs import KINDS
from schemas.policy import Setting

CODE_VERSION: Final = 1
"""Grows whenever this code would decide differently from before; a worker refuses rules of a higher one."""


class BadRules(Refused):
    """A rules body does not parse, or contradicts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryRules:
    """One category. `default` has empty fields where the parent's hold; `targets` is empty for a mere parent.

    `days_range` are the days an org may set, both ends included (None: no bound of its own); `can_anonymise` says
    that every target has fields to anonymise. `rectify`: target to the fields of it that a person's word may set;
    `hides`: the targets that can hide single records.
    """

    name: str
    parent: str | None = None
    targets: tuple[str, ...] = ()
    default: Setting
    days_range: tuple[int, int] | None = None
    can_anonymise: bool = False
    rectify: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hides: tuple[str, ...] = ()


_HEX_KEY: Final = re.compile(r"[0-9a-f]{64}")

WEAK_KEYS: Final = frozenset(
    {
        "00" * 32,
        "00" * 31 + "80",
        "01" + "00" * 31,
        "01" + "00" * 30 + "80",
        "ec" + "ff" * 30 + "7f",
        "ec" + "ff" * 31,
        "ed" + "ff" * 30 + "7f",
        "ed" + "ff" * 31,
        "ee" + "ff" * 30 + "7f",
        "ee" + "ff" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    }
)
"""Ed25519 public keys of small order, in every spelling: anybody can sign for them (libsodium refuses the same)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who may ask for something. `public_key` is Ed25519, 64 hex digits; `orgs` and `kinds` None: all of them."""

    public_key: str
    orgs: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not _HEX_KEY.fullmatch(self.public_key):
            raise BadRules("a requester's public_key must be an Ed25519 public key, 64 lower-case hex digits")
        if self.public_key in WEAK_KEYS:
            raise BadRules("a requester's public_key is one that anybody can sign for; make a key pair")
        unknown = [kind for kind in self.kinds or () if kind not in KINDS]
        if unknown:
            raise BadRules(f"a requester's kind {unknown[0]!r} is unknown; there are {', '.join(KINDS)}")

    def may(self, kind: str, org: str) -> bool:
        """Whether it may ask for `kind` in the name of `org`."""
        return (self.orgs is None or org in self.orgs) and (self.kinds is None or kind in self.kinds)


LEVELS: Final = ("deleted", "gone", "verified")
"""How far an erasure must have come before its job may be done, the least first."""

MOST_KEPT: Final = 36_500
"""Days that a backup may be said to be kept."""
MOST_NOTE: Final = 200

LAWS: Final = ("gdpr", "ccpa")
"""Regimes that are always there; `streams.coordinator.deadlines` knows their dates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A law, or a promise of one's own: requests are due `days` after they were made, 1 to 365.

    `extension_days` is by how much a person may extend that, once; 0: not at all.
    """

    days: int
    extension_days: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.days <= 365 or not 0 <= self.extension_days <= 365:
            raise BadRules("days must be from 1 to 365, extension_days from 0 to 365")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """What a target's owner says of its backups: for how many days one is kept (0: there are none), and in a word what
    they are."""

    keep_days: int
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.keep_days <= MOST_KEPT:
            raise BadRules(f"keep_days is {self.keep_days}; it must be from 0 to {MOST_KEPT}")
        if len(self.note) > MOST_NOTE or not self.note.isprintable():
            raise BadRules(f"note must be one line of at most {MOST_NOTE} characters")


STEP_RECORDS: Final = 60_000
"""So many records one step handles where no rules say otherwise; of a sweep more, where the day alone decides."""


BATCH_RECORDS: Final = 2_000
"""So many records a batch has at most where no rules say otherwise: each is a message, a row and an ack, whatever is
in it, and what is kept of one must fit in a message, however long its ids are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules of one version. `sources` maps each source topic to its partition count; times are seconds or days.

    `requesters` are by key id, `sealing_key` is the public X25519 key for subject ids (64 hex digits; empty: none),
    `audit_key` the public Ed25519 key of the audit logs' heads, likewise.
    An erasure of more than `approval_over` subjects (0: of however many), and with `approve_deletes` every deletion of
    an org, waits for a second person. With `verify_identity` a person's request waits until somebody is sure of who
    asks, unless whoever signs it is. `regimes` are by name, beside those of `LAWS`. While it is `paused` no target is
    changed. `complete_at` is the one of LEVELS at which an erasure is done, as it was in rules from before there were
    proofs; of the sweep's batches `verify_percent` in a hundred are proven, as all those of requests are.
    `brake`: how much may be decided without a person, None: however much. `backups`: by target, what is said of its
    backups.
    """

    version: int
    code_version: int = CODE_VERSION
    lateness_s: int = 0
    test_clock: bool = False
    max_leap_days: int = 2
    sources: Mapping[str, int] = field(default_factory=dict)
    step_records: int = STEP_RECORDS
    pending_batches: int = 128
    batch_records: int = BATCH_RECORDS
    resend_days: int = 45
    categories: Mapping[str, CategoryRules] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    requesters: Mapping[str, Requester] = field(default_factory=dict)
    sealing_key: str = ""
    audit_key: str = ""
    approval_over: int = 0
    approve_deletes: bool = False
    verify_identity: bool = False
    regimes: Mapping[str, Regime] = field(default_factory=dict)
    paused: bool = False
    complete_at: str = "deleted"
    verify_percent: int = 0
    brake: Brake | None = None
    backups: Mapping[str, Backups] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in ("version", "code_version", "max_leap_days", "step_records", "pending_batches", "batch_records"):
            if getattr(self, number) < 1:
                raise BadRules(f"rules: {number} is {getattr(self, number)}; it must be at least 1")
        if self.lateness_s < 0 or self.resend_days < 1:
            raise BadRules("rules: lateness_s must be at least 0 and resend_days at least 1")
        if self.approval_over < 0:
            raise BadRules(f"rules: approval_over is {self.approval_over}; it must be at least 0")
        if self.complete_at not in LEVELS or not 0 <= self.verify_percent <= 100:
            raise BadRules(f"rules: complete_at must be one of {', '.join(LEVELS)}, verify_percent 0 to 100")
        hidden = [name for name in self.regimes if name in LAWS]
        if hidden:
            raise BadRules(f"rules: regime {hidden[0]!r} is there already; choose another name")
        if self.sealing_key and not _HEX_KEY.fullmatch(self.sealing_key):
            raise BadRules("rules: sealing_key must be an X25519 public key, 64 lower-case hex digits")
        if self.audit_key and (not _HEX_KEY.fullmatch(self.audit_key) or self.audit_key in WEAK_KEYS):
            raise BadRules("rules: audit_key must be an Ed25519 public key, 64 lower-case hex digits")
        for name, category in self.categories.items():
            if name != category.name or name != category.default.category:
                raise BadRules(f"rules: category {name!r} calls itself {category.name!r}")
            list(self.lineage(name))
        for alias, name in self.aliases.items():
            if alias in self.categories or name not in self.categories:
                raise BadRules(f"rules: alias {alias!r} hides a category or stands for none")

    def canonical(self, category: str) -> str:
        """Return the category that `category` is or is another name for."""
        return self.aliases.get(category, category)

    def accepts(self, category: str) -> bool:
        """Whether records of `category` have a place to be erased from, under its own or another name."""
        found = self.categories.get(self.canonical(category))
        return found is not None and bool(found.targets)

    def limits(self, org: str, category: str = "") -> Limits | None:
        """Return the brake's limits for a category of an org, or for its requests; None: there are none."""
        brake = self.brake
        if brake is None or not (brake.categories or brake.orgs):  # asked for each pair that the sweep comes to
            return None if brake is None or brake.limits.off else brake.limits
        name = self.canonical(category)
        return brake.of(org, [c.name for c in self.lineage(name)] if name in self.categories else [])

    def lineage(self, category: str) -> Iterator[CategoryRules]:
        """Yield the category, its parent, and so on. Raises BadRules: unknown, or a circle."""
        seen: set[str] = set()
        name: str | None = category
        while name is not None:
            found = self.categories.get(name)
            if found is None or name in seen:
                raise BadRules(f"rules: category {category!r}: {name!r} is {'its own parent' if found else 'unknown'}")
            seen.add(name)
            yield found
            name = found.parent

    def to_json(self) -> str:
        """Return the one text of these rules: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def hash(self) -> str:
        """SHA-256 of `to_json()`, hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, body: str) -> Rules:
        """Read `to_json`'s text. Raises BadRules."""
        try:
            values: dict[str, Any] = json.loads(body)
            values["categories"] = {name: _category(value) for name, value in values["categories"].items()}
            asking = values.get("requesters", {})  # rules from before there were any have none
            values["requesters"] = {key_id: _requester(value) for key_id, value in asking.items()}
            values["regimes"] = {name: Regime(**value) for name, value in values.get("regimes", {}).items()}
            brake = values.get("brake")
            values["brake"] = None if brake is None else Brake.from_json(brake)
            values["backups"] = {name: Backups(**value) for name, value in values.get("backups", {}).items()}
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, BadBrake) as error:
            raise BadRules(f"the rules' body is not one: {error}") from error


def _category(value: dict[str, Any]) -> CategoryRules:
    days_range = value["days_range"]
    return CategoryRules(
        **{
            **value,
            "targets": tuple(value["targets"]),
            "default": Setting(**value["default"]),
            "hides": tuple(value.get("hides", ())),
            "rectify": {target: tuple(fields) for target, fields in value.get("rectify", {}).items()},
            "days_range": None if days_range is None else (int(days_range[0]), int(days_range[1])),
        }
    )


def _requester(value: dict[str, Any]) -> Requester:
    orgs, kinds = value["orgs"], value["kinds"]
    return Requester(
        public_key=value["public_key"],
        orgs=None if orgs is None else tuple(orgs),
        kinds=None if kinds is None else tuple(kinds),
    )
