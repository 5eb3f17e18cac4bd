"""Policies of orgs: set in part, locked, previewed; every version is kept.

    policies topic   key org              the policy as it stands, with its lock
                     key org, 0, version  each version that there ever was: compaction keeps them all

A change is told to each shard as a whole, and the job is completed when all of them have answered. Called by
`streams.coordinator.requests` and `answers`; `tests/unit/streams/coordinator/test_policies.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.errors import Refused
from schemas.jobs import State
from schemas.policy import SETTING_FIELDS, Setting
from schemas.rules import Rules
from schemas.topics import DAY_MS
from streams.coordinator import keys
from streams.coordinator.locks import shortened_category
from streams.coordinator.refusal import No
from streams.coordinator.rows import Job, Org, Settings
from streams.coordinator.work import Work
from streams.ledger.concern import lineage
from streams.ledger.retention import check_settings, template_settings


def policy(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Change some of an org's settings. Raises No."""
    assert work.rules is not None
    org, body = work.org(name), job.body
    if not body["settings"] and not body["template"]:
        raise No("bad_body", "settings: name at least one, or a template")
    if body["if_version"] is not None and body["if_version"] != org.policy_version:
        raise No("stale_policy", f"the policy is at version {org.policy_version} by now; read it and ask again")
    template = body["template"] or org.template
    settings = _changed(work.rules, org, body["settings"], body["template"], template)
    if is_locked(work, org):
        short = shortened_category(work.rules, org.settings, settings)
        if short:
            raise No("policy_locked", f"category {short!r}: may only be extended up to day {org.locked_until}")
    if settings == org.settings and template == org.template:
        job.detail = {"version": org.policy_version}
        work.to(job, State.COMPLETED, text="nothing differs from what is in force")
        return
    _note_setter(org, settings, job.requested_by)
    org.settings, org.template = settings, template
    _publish(work, name, org, job)
    job.told = work.partitions_of(name, org)
    if not job.told:
        work.to(job, State.COMPLETED, text="it applies as soon as the org is published")
        return
    org.version += 1
    job.detail |= {"shards": len(job.told), "answered": 0}
    work.store.put(keys.waiting(name, org.policy_version), job.request_id.encode())
    work.to_ledger(job.told, "PolicySet", policy_set(work, name, org))
    work.to(job, State.PLANNING)


def _note_setter(org: Org, new: Settings, who: str) -> None:
    """Note who changes which fields: of what follows from them they cannot be the second person."""
    for category in sorted({*org.settings, *new}):
        before, after = org.settings.get(category, {}), new.get(category, {})
        for name in SETTING_FIELDS[1:]:
            if before.get(name, "") != after.get(name, ""):
                org.setters.setdefault(category, {})[name] = who
                org.policy_by = who


def set_by(work: Work, name: str, category: str) -> set[str]:
    """Return who set what holds for a category, in it or above it; of what nobody has set nobody did."""
    setters = work.org(name).setters
    return {who for each in lineage(work.rules, category) for who in setters.get(each, {}).values() if who}


def lock(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Let a policy only be extended, up to and with a day; a lock is never shortened. Raises No."""
    org, until = work.org(name), job.body["until_day"]
    if until <= work.now // DAY_MS:
        raise No("bad_body", f"until_day: must lie after today, day {work.now // DAY_MS}")
    if until < org.locked_until:
        raise No("policy_locked", f"the policy is locked up to day {org.locked_until}; a lock is never shortened")
    if until > org.locked_until:
        org.locked_until = until
        _publish(work, name, org, job)
    job.detail = {"version": org.policy_version, "locked_until": org.locked_until}
    work.to(job, State.COMPLETED)


def preview(work: Work, name: str, job: Job, _: list[str]) -> None:
    """Count what would go as of a day, under changed settings or those in force; nothing is changed. Raises No."""
    assert work.rules is not None
    org, body = work.org(name), job.body
    settings = _changed(work.rules, org, body["settings"], "", org.template)
    job.told = work.partitions_of(name, org)
    job.detail = {"shards": len(job.told), "answered": 0}
    record = {
        "org": name,
        "epoch": org.epoch,
        "request_id": job.request_id,
        "settings": listed(settings),
        "as_of_day": body["as_of_day"],
    }
    work.to_ledger(job.told, "Preview", record)
    work.to(job, State.PLANNING)


def is_locked(work: Work, org: Org) -> bool:
    """Whether an org's settings may only be extended today."""
    return work.now // DAY_MS <= org.locked_until


def policy_answered(work: Work, name: str, record: Mapping[str, Any]) -> None:
    """A shard has a policy version, and with it all before."""
    org = work.org(name)
    if record["error"]:
        if record["epoch"] < org.epoch:
            work.to_ledger([record["partition"]], "PolicySet", policy_set(work, name, org))
        return
    for key, raw in list(work.store.scan(keys.waiting(name))):
        job = work.job(name, raw.decode())
        if job is None or int.from_bytes(key[-4:], "big") > record["version"]:
            continue
        if _answered(job, record["partition"]):
            work.store.delete(key)
            work.to(job, State.COMPLETED)


def preview_answered(work: Work, name: str, record: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """A shard has counted; with the last of them the counts are added up."""
    job = work.job(name, record["request_id"])
    if job is None or job.kind != "preview" or job.ended or record["partition"] not in job.told:
        return
    if record["error"]:
        job.text = f"partition {record['partition']}: {record['error']}"
        return
    work.put_answer(name, job, record["partition"], body)
    if not _answered(job, record["partition"]):
        return
    job.detail |= added_up([answer for _, answer in work.answers(name, job)])
    work.drop_answers(name, job)
    work.to(job, State.COMPLETED)


def added_up(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the shards' counts as one. `as_of_day` is the earliest that one of them counted for."""
    total: dict[str, Any] = {}
    for answer in answers:
        for category, counts in answer["categories"].items():
            mine = total.setdefault(category, {"records": 0, "months": {}, "targets": {}})
            mine["records"] += counts["records"]
            for by in ("months", "targets"):
                for label, count in counts.get(by, {}).items():
                    mine[by][label] = mine[by].get(label, 0) + count
    return {"as_of_day": min(answer["as_of_day"] for answer in answers), "categories": total}


def policy_set(work: Work, name: str, org: Org) -> dict[str, Any]:
    """Return the command that makes an org's policy known to a shard, whole."""
    return {
        "org": name,
        "epoch": org.epoch,
        "version": org.policy_version,
        "settings": listed(org.settings),
        "set_at": work.entry.log_ms,
    }


def _answered(job: Job, partition: int) -> bool:
    """Take note of a shard's answer; return whether it was the last."""
    if partition in job.told and partition not in job.answered:
        job.answered = sorted([*job.answered, partition])
    job.detail["answered"] = len(job.answered)
    return set(job.answered) >= set(job.told)


def _publish(work: Work, name: str, org: Org, job: Job) -> None:
    """Make a new version of an org's policy, and write it twice: as the newest, and for good."""
    org.policy_version += 1
    job.detail = {"version": org.policy_version}
    state = {
        "org": name,
        "version": org.policy_version,
        "settings": listed(org.settings),
        "request_id": job.request_id,
        "set_at": work.entry.log_ms,
        "requested_by": job.requested_by,
        "template": org.template,
        "locked_until": org.locked_until,
    }
    key = name.encode()
    for each in (key, key + b"\0" + str(org.policy_version).encode()):
        work.publish(work.context.topics.policies, each, "PolicyState", state)


def _changed(
    rules: Rules, org: Org, changes: Sequence[Mapping[str, str]], adopted: str, template: str
) -> dict[str, dict[str, str]]:
    """Return an org's settings after a change. Raises No.

    `adopted` is the template that is taken over now, `template` the one that the org is on then.
    """
    try:
        base = _from_template(rules, adopted) if adopted else org.settings
        canonical = [{**change, "category": rules.canonical(change["category"])} for change in changes]
        unknown = [c["category"] for c in canonical if c["category"] not in rules.categories]
        if unknown:
            raise No("unknown_category", f"{unknown[0]!r} is unknown; there are {', '.join(sorted(rules.categories))}")
        settings = merged(base, canonical)
        check_settings(rules, {c: Setting(**s) for c, s in settings.items()}, template)
    except Refused as e:
        raise No("bad_policy", str(e)) from None
    return settings


def _from_template(rules: Rules, template: str) -> dict[str, dict[str, str]]:
    """Return a template's settings for the categories that there are. Raises BadPolicy."""
    return {c: s.record() for c, s in template_settings(template).items() if c in rules.categories}


def merged(old: Settings, changes: Sequence[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the settings after a partial update: a field that is given replaces, an empty one stays.

    The word `default` takes a field back to what the rules say.
    """
    new = {category: dict(setting) for category, setting in old.items()}
    for change in changes:
        now = new.setdefault(change["category"], dict.fromkeys(SETTING_FIELDS, "") | {"category": change["category"]})
        for name in SETTING_FIELDS[1:]:
            if change.get(name):
                now[name] = "" if change[name] == "default" else change[name]
    return {c: s for c, s in new.items() if any(s[n] for n in SETTING_FIELDS[1:])}


def listed(settings: Settings) -> list[Mapping[str, str]]:
    """Return settings in the order in which commands and states carry them."""
    return [settings[c] for c in sorted(settings)]
