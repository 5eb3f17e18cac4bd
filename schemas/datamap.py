"""The data map: which categories there are, where their records lie, and how each place forgets.

    version: 1
    template: vantage                 # vantage, soc2 or hipaa: parents and defaults of the well-known categories
    producers: [crm]                  # counted by name in metrics; all others as "other"
    targets:    {crm: {kind: postgres, dsn: "${EBBTIDE_POSTGRES_DSN}"}}
    categories: {messages: {targets: {crm: {table: messages, key: id, org: org_id}}}}
    requesters: {portal: {public_key: "<64 hex digits>", orgs: [acme], kinds: [erase]}}   # `all` for every org or kind
    safety: {approval_over: 100, approve_deletes: true, verify_identity: true}
    regimes: {lgpd: {days: 15}}       # laws beside gdpr and ccpa, by which people's requests are due

Read once at start by every role; what decides goes from it into `schemas.rules`. A map with an unknown key, a missing
plan or a dangerous name is refused whole, with file, line and fix: `tests/unit/schemas/test_datamap.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.askmap import Asking, check_name, read_asking
from schemas.plandef import Plan, read_plan
from schemas.plans import KafkaPlan, PostgresPlan
from schemas.policy import ANONYMISE, BadPolicy, Setting, check_category
from schemas.rules import CategoryRules, Rules
from schemas.s3plan import S3Plan
from schemas.targetmap import TargetMap, read_targets
from schemas.templates import ALIASES, DEFAULT_TEMPLATE, TEMPLATES, Template
from schemas.yamlmap import Scalar, Table, near, read_yaml

VERSION: Final = 1
_KEYS: Final = ("version", "template", "producers", "targets", "categories", "requesters", "safety", "regimes")
_POLICY_KEYS: Final = ("period", "clock", "min_retain", "action")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """A whole map, checked. `plans` are by (category, target)."""

    file: str
    template: str
    producers: tuple[str, ...]
    targets: Mapping[str, TargetMap]
    categories: Mapping[str, CategoryRules]
    plans: Mapping[tuple[str, str], Plan]
    asking: Asking = field(default_factory=Asking)

    def plans_of(self, target: str) -> dict[str, Plan]:
        """Return the plans of one target by category."""
        return {category: plan for (category, name), plan in self.plans.items() if name == target}

    def rules(self, *, version: int, sources: Mapping[str, int]) -> Rules:
        """Return the rules that follow. `sources` maps each source topic to its partition count."""
        return Rules(
            version=version,
            sources=dict(sources),
            categories=self.categories,
            aliases={alias: name for alias, name in ALIASES.items() if name in self.categories},
            requesters=self.asking.requesters,
            approval_over=self.asking.approval_over,
            approve_deletes=self.asking.approve_deletes,
            verify_identity=self.asking.verify_identity,
            complete_at=self.asking.complete_at,
            verify_percent=self.asking.verify_percent,
            regimes=self.asking.regimes,
            brake=self.asking.brake,
            backups={name: target.backups for name, target in self.targets.items() if target.backups is not None},
        )


def load_data_map(path: Path | str, variables: Mapping[str, str] | None = None) -> DataMap:
    """Read and check a data map. `variables` are what `${NAME}` in a target's options may stand for.

    Raises schemas.yamlmap.BadFile: `map.yaml:12: unknown key 'tabel' in …; did you mean 'table'?`.
    """
    top = read_yaml(Path(path)).only(*_KEYS)
    version = top.must("version", str(VERSION))
    if version.number() != VERSION:
        raise version.where.refuse(f"version {version.text} is not known here; write version: {VERSION}")
    template = _template(top)
    targets = read_targets(top, variables or {})
    found = top.table("categories")
    if found is None or not found.entries:
        raise top.where.refuse("the file has no 'categories'; add one with a plan for each of its targets")
    plans: dict[tuple[str, str], Plan] = {}
    categories: dict[str, CategoryRules] = {}
    for name, entry in found.tables():
        categories[name] = _category(name, entry, TEMPLATES[template], targets, plans)
    _add_parents(categories, TEMPLATES[template], found)
    for name, entry in found.tables():
        _check_retention(categories, name, entry)
    return DataMap(
        file=str(path),
        template=template,
        producers=_producers(top),
        targets=targets,
        categories=categories,
        plans=plans,
        asking=read_asking(top, categories),
    )


def _template(top: Table) -> str:
    named = top.scalar("template")
    if named is None:
        return DEFAULT_TEMPLATE
    if named.text not in TEMPLATES:
        raise named.where.refuse(f"template {named.text!r} is unknown{near(named.text, list(TEMPLATES))}")
    return named.text


def _producers(top: Table) -> tuple[str, ...]:
    names = top.words("producers")
    for name in names:
        check_name("producer", name.text, name.where)
    return tuple(dict.fromkeys(name.text for name in names))


def _category(
    name: str,
    entry: Table,
    template: Template,
    targets: Mapping[str, TargetMap],
    plans: dict[tuple[str, str], Plan],
) -> CategoryRules:
    if name in ALIASES:
        raise entry.where.refuse(f"{name!r} is another name of {ALIASES[name]!r}; write {ALIASES[name]}")
    try:
        check_category(name)
    except BadPolicy as error:
        raise entry.where.refuse(str(error)) from None
    entry.only("parent", "retention", "targets")
    known = template.get(name)
    parent = entry.scalar("parent")
    bound = entry.table("targets")
    if bound is None or not bound.entries:
        raise entry.where.refuse(f"category {name!r} has no plan for any target; add `targets:` with at least one")
    for target, plan in bound.tables():
        if target not in targets:
            raise plan.where.refuse(
                f"target {target!r} of category {name!r} is not declared{near(target, list(targets))}"
            )
        made = read_plan(name, targets[target].name, targets[target].kind, targets[target].options, plan)
        _check_alone(made, plans, plan)
        plans[name, target] = made
    if "parent" in entry.entries:
        above = parent.text if parent else None
    else:
        above = known.parent if known else None
    return CategoryRules(
        name=name,
        parent=above,
        targets=tuple(sorted(bound.entries)),
        default=_default(name, entry.table("retention"), known.default if known else Setting(category=name)),
        days_range=known.days_range if known else None,
        can_anonymise=all(plans[name, target].anonymise for target in bound.entries),
        hides=tuple(target for target in sorted(bound.entries) if _hides(plans[name, target])),
        rectify={target: fields for target in sorted(bound.entries) if (fields := _rectify(plans[name, target]))},
    )


def _hides(plan: Plan) -> bool:
    """Whether a target can hide single records."""
    return isinstance(plan, PostgresPlan) and plan.hidden is not None


def _rectify(plan: Plan) -> tuple[str, ...]:
    return plan.rectify if isinstance(plan, PostgresPlan | KafkaPlan) else ()


def _check_alone(made: Plan, plans: Mapping[tuple[str, str], Plan], entry: Table) -> None:
    """No object of a bucket is of two categories."""
    for other in plans.values():
        if not isinstance(made, S3Plan) or not isinstance(other, S3Plan):
            continue
        if (made.target, made.template) == (other.target, other.template):
            raise entry.where.refuse(
                f"categories {other.category!r} and {made.category!r} have the same template {made.template.text!r} "
                f"in target {made.target!r}: an object would be of both; give each keys of its own"
            )


def _default(name: str, entry: Table | None, base: Setting) -> Setting:
    """Lay what the map says over what the template says, field by field."""
    if entry is None:
        return base
    entry.only(*_POLICY_KEYS)
    said = {key: value for key in _POLICY_KEYS if (value := entry.scalar(key)) is not None}
    for key, value in said.items():
        _check_policy(name, key, value)
    texts = {key: said[key].text if key in said else getattr(base, key) for key in _POLICY_KEYS}
    try:
        return Setting(category=name, **texts)
    except BadPolicy as error:
        raise entry.where.refuse(str(error)) from None


def _check_policy(category: str, key: str, value: Scalar) -> None:
    try:
        setting = Setting(category=category, **{key: value.text})
    except BadPolicy as error:
        raise value.where.refuse(str(error)) from None
    if setting.after and setting.after.none_kept:
        raise value.where.refuse(
            f"category {category!r}: period {value.text!r} is for templates only; write 1 d or more"
        )


def _add_parents(categories: dict[str, CategoryRules], template: Template, found: Table) -> None:
    """Add the template's categories that are only above others, and refuse unknown parents and circles."""
    for name in list(categories):
        seen = {name}
        above = categories[name].parent
        while above is not None:
            line = found.lines[name]
            if above in seen:
                raise line.refuse(f"category {name!r} is below itself; mend `parent`")
            seen.add(above)
            if above not in categories:
                if above not in template:
                    raise line.refuse(
                        f"parent {above!r} of category {name!r} is unknown{near(above, [*categories, *template])}"
                    )
                known = template[above]
                categories[above] = CategoryRules(
                    name=above, parent=known.parent, default=known.default, days_range=known.days_range
                )
            above = categories[above].parent


def _check_retention(categories: Mapping[str, CategoryRules], name: str, entry: Table) -> None:
    """Every category ends up with a period, and with fields to anonymise where that is its action."""
    up: list[CategoryRules] = []
    above: str | None = name
    while above is not None:
        up.append(categories[above])
        above = categories[above].parent
    if not any(c.default.period for c in up):
        raise entry.where.refuse(
            f'category {name!r} has no retention: the template does not know it; add `retention: {{period: "90 d"}}` '
            "or a `parent`"
        )
    action = next((c.default.action for c in up if c.default.action), "")
    if action == ANONYMISE and not categories[name].can_anonymise:
        raise entry.where.refuse(
            f"category {name!r} is to be anonymised, but not each of its targets has a plan for it; "
            "add `anonymise: {field: {mask: true}}` to each"
        )
