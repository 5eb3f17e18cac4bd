"""What a certificate of deletion says of a job that has ended: closed words and numbers, from the ledgers' own answers.

A certificate says no more than was checked: each target's level is the one that all of its rows have reached, and what
is not gone, or not known here, is an exception with the reason and, where there is one, its end. A job that goes back
to work for late data is certified anew. Called by `streams.coordinator.work` at the end of an entry;
`tests/unit/streams/coordinator/test_certificates.py` says what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from schemas.jobs import DONE, PART_COUNTS
from schemas.rules import Rules
from streams.coordinator import backups
from streams.coordinator.rows import Job, Org

CERTIFIED: Final = frozenset({"erase", "delete"})
"""Kinds of jobs that are certified."""
DELETE: Final = "delete"
HANDED_OUT: Final = "copies_handed_out"
"""Files of exports that an owner has fetched: they are the owner's to delete (DESIGN, L5)."""


def is_certified(job: Job) -> bool:
    """Whether a job in its present state is certified."""
    return job.kind in CERTIFIED and job.state in DONE


def facts_of(job: Job, parts: Iterable[Mapping[str, Any]], rules: Rules, org: Org, *, at: int) -> dict[str, Any]:
    """Return the certificate of an ended job. `at`: when it ended, ms since the epoch; `parts` as in its status."""
    detail = job.detail
    everyone = job.kind == "delete"
    categories = detail.get("categories", [])
    targets = _targets(parts)
    return {
        "job": {
            "kind": job.kind,
            "state": str(job.state),
            "version": job.version + 1,
            "requested_at": job.requested_at,
            "ended_at": at,
            "deadline": job.deadline,
            "through": detail.get("through", 0),
            "regime": detail.get("regime", ""),
        },
        "scope": {
            "everyone": everyone,
            "subjects": 0 if everyone else len(detail.get("subjects", [])),
            "categories": categories,
            "kept_categories": detail.get("kept_categories", []),
        },
        "policy": {"rules": rules.version, "hash": rules.hash, "actions": _actions(rules, org, categories)},
        "complete_at": detail.get("complete_at", "deleted"),
        "found": detail.get("found", 0),
        "targets": targets,
        "backups": detail.get("backups", {}),
        "exceptions": [
            *_exceptions(detail, targets, org.exports),
            *backups.exceptions(detail.get("backups", {}), at),
        ],
    }


def _targets(parts: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        told = found.setdefault(part["target"], dict.fromkeys(PART_COUNTS, 0))
        for name in PART_COUNTS:
            told[name] += part[name]
    return {name: {**told, "level": _level(told)} for name, told in found.items()}


def _level(told: Mapping[str, int]) -> str:
    """Return the level that all acknowledged rows of a target have reached."""
    if told["verified"] >= told["done"]:
        return "verified" if told["done"] else "deleted"
    return "gone" if told["gone"] >= told["done"] else "deleted"


def _actions(rules: Rules, org: Org, categories: Iterable[str]) -> dict[str, str]:
    """Return what is done to the records of each category that is meant: none named means all."""
    named = set(categories)
    meant = [c.name for c in rules.categories.values() if c.targets and (not named or _is_meant(rules, c.name, named))]
    return {name: next(filter(None, _said(rules, org, name)), DELETE) for name in meant}


def _said(rules: Rules, org: Org, category: str) -> Iterator[str]:
    """Yield what the org and the data map say of a category, then of those above it."""
    for up in rules.lineage(category):
        yield org.settings.get(up.name, {}).get("action", "")
        yield up.default.action


def _is_meant(rules: Rules, category: str, named: set[str]) -> bool:
    return any(up.name in named for up in rules.lineage(category))


def _exceptions(detail: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]], exports: int) -> list[Any]:
    """Return what is not gone, and why: records that wait, that targets keep, and copies that are out of reach."""
    found = [{"what": why, "records": n} for why, n in sorted(detail.get("waiting", {}).items()) if n]
    for what in ("withheld", "failed", "exempt"):
        found += [
            {"what": what, "target": name, "records": said[what]}
            for name, said in sorted(targets.items())
            if said[what]
        ]
    found += [{"what": "kept_category", "category": name} for name in detail.get("kept_categories", [])]
    if exports:
        found.append({"what": HANDED_OUT, "archives": exports})
    return found
