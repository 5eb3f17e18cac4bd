"""Who may ask for what, what waits for a person first, and which laws there are: three sections of the data map.

    requesters: {portal: {public_key: "<64 hex digits>", orgs: [acme], kinds: [erase]}}
    safety:     {approval_over: 100, approve_deletes: true, verify_identity: true,
                 complete_at: verified, verify_percent: 1, brake: {share: 0.5}}
    regimes:    {lgpd: {days: 15, extension_days: 0}}

Called by `schemas.datamap`, whose tests cover it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from schemas.brake import Brake
from schemas.brakemap import read_brake
from schemas.jobs import KINDS as KINDS_OF_REQUEST
from schemas.keys import OWN
from schemas.plans import BadPlan, check_target
from schemas.rules import LAWS, LEVELS, BadRules, Regime, Requester
from schemas.yamlmap import Scalar, Table, Where, near


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The three sections, checked; what the fields mean stands in `schemas.rules.Rules`."""

    requesters: Mapping[str, Requester] = field(default_factory=dict)
    approval_over: int = 0
    approve_deletes: bool = False
    verify_identity: bool = False
    complete_at: str = "verified"
    verify_percent: int = 1
    regimes: Mapping[str, Regime] = field(default_factory=dict)
    brake: Brake = field(default_factory=Brake)


def read_asking(top: Table, categories: Collection[str]) -> Asking:
    """Read the sections of a map that has these categories; what is left out has its default. Raises BadFile."""
    safety = top.table("safety")
    if safety is not None:
        safety.only("approval_over", "approve_deletes", "verify_identity", "complete_at", "verify_percent", "brake")
    over = safety.scalar("approval_over") if safety else None
    return Asking(
        requesters=_requesters(top),
        approval_over=over.number() if over else 0,
        approve_deletes=_flag(safety, "approve_deletes"),
        verify_identity=_flag(safety, "verify_identity"),
        complete_at=_level(safety),
        verify_percent=_percent(safety),
        regimes=_regimes(top),
        brake=read_brake(safety, categories),
    )


def check_name(kind: str, name: str, where: Where) -> None:
    """Refuse the name of a requester, a regime or a producer that is not written as targets' are. Raises BadFile."""
    try:
        check_target(name)
    except BadPlan:
        raise where.refuse(
            f"{kind} {name!r}: a {kind}'s name is lower-case letters, digits and '-' (at most 48)"
        ) from None


def _flag(section: Table | None, key: str) -> bool:
    found = section.scalar(key) if section else None
    if found is not None and found.text not in ("true", "false"):
        raise found.where.refuse(f"{found.where.path} is {found.text!r}; write true or false")
    return found is not None and found.text == "true"


def _level(section: Table | None) -> str:
    found = section.scalar("complete_at") if section else None
    if found is not None and found.text not in LEVELS:
        raise found.where.refuse(f"{found.where.path} is {found.text!r}{near(found.text, LEVELS)}")
    return found.text if found is not None else Asking().complete_at


def _percent(section: Table | None) -> int:
    found = section.scalar("verify_percent") if section else None
    if found is not None and not 0 <= found.number() <= 100:
        raise found.where.refuse(f"{found.where.path} is {found.text}; write 0 to 100")
    return found.number() if found is not None else Asking().verify_percent


def _regimes(top: Table) -> dict[str, Regime]:
    found = top.table("regimes")
    regimes = {}
    for name, entry in found.tables() if found else ():
        check_name("regime", name, entry.where)
        if name in LAWS:
            raise entry.where.refuse(f"regime {name!r} is there already; choose another name")
        entry.only("days", "extension_days")
        longer = entry.scalar("extension_days")
        days = entry.must("days", "30")
        try:
            regimes[name] = Regime(days=days.number(), extension_days=longer.number() if longer else 0)
        except BadRules as error:
            raise days.where.refuse(f"regime {name!r}: {error}") from None
    return regimes


def _requesters(top: Table) -> dict[str, Requester]:
    found = top.table("requesters")
    requesters = {}
    for name, entry in found.tables() if found else ():
        if name in OWN:
            raise entry.where.refuse(f"requester {name!r} is the engine's own, which is always there; choose another")
        check_name("requester", name, entry.where)
        entry.only("public_key", "orgs", "kinds")
        key = entry.must("public_key", '"<64 hex digits of its Ed25519 public key>"')
        orgs, kinds = _all_or_some(entry, "orgs", "[acme]"), _all_or_some(entry, "kinds", "[erase]")
        for kind in kinds or ():
            if kind.text not in KINDS_OF_REQUEST:
                raise kind.where.refuse(
                    f"kind {kind.text!r} of requester {name!r} is unknown{near(kind.text, KINDS_OF_REQUEST)}"
                )
        try:
            requesters[name] = Requester(public_key=key.text.lower(), orgs=_texts(orgs), kinds=_texts(kinds))
        except BadRules as error:
            raise key.where.refuse(f"requester {name!r}: {error}") from None
    return requesters


def _all_or_some(entry: Table, key: str, example: str) -> tuple[Scalar, ...] | None:
    """Return a list that must be there and not be empty; None where the word `all` stands for it."""
    if isinstance(entry.entries.get(key), Scalar):
        word = entry.must(key, example)
        if word.text != "all":
            raise word.where.refuse(f"{word.where.path} is {word.text!r}; write a list such as {example}, or all")
        return None
    words = entry.words(key)
    if not words:
        where = entry.lines.get(key, entry.where)
        raise where.refuse(f"{entry.where.path} names no {key}; add `{key}: {example}`, or `{key}: all`")
    return words


def _texts(words: tuple[Scalar, ...] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(dict.fromkeys(word.text for word in words))
