"""Looks at a live engine and says, line by line, what is well, what to watch, and what to mend and how.

Reads only. Used by `ebbtide doctor`; `tests/integration/test_doctor.py` breaks things and reads what it says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ebbtide.wire import Codec
from ops.audit import AuditTopics, audit_key
from ops.backfill.spec import BackfillSpec, NotBackfillable
from ops.doctor_gone import gone_findings
from ops.drill.record import last_drill
from ops.exports import export_place
from ops.finding import Finding, Level
from ops.progress import Progress, read_progress, unfinished
from ops.requests import with_signing_key
from ops.rules_topic import RulesNotSigned, current_rules
from ops.settings import Settings
from ops.timesource import DAY_MS, TimeSource
from ops.topics import declared, differences
from schemas.datamap import DataMap
from schemas.errors import EbbtideError
from schemas.plans import PostgresPlan
from schemas.rules import Rules
from schemas.topics import Topics
from sinks.build import s3_sink
from sinks.postgres_hiding import unfit_columns
from streams.audit.log import BadState
from streams.audit.note import BadNote
from streams.exporter.role import open_bucket

SAMPLE = 200
MOST_WAITING = 10_000
_EMAIL = re.compile(r"[^@\s/]+@[^@\s/]+\.[a-z]{2,}", re.IGNORECASE)
_PHONE = re.compile(r"\+?[0-9][0-9 ()/-]{8,16}")


def examine(settings: Settings, data_map: DataMap, codec: Codec) -> Iterator[Finding]:
    """Yield findings, from the ground up; stop early where nothing further can be seen."""
    yield from _keys(settings)
    try:
        AdminClient({"bootstrap.servers": settings.kafka_bootstrap}).list_topics(timeout=10)
    except KafkaException as e:
        yield Finding("mend", "broker", f"does not answer ({e.args[0].str()}): check EBBTIDE_KAFKA_BOOTSTRAP")
        return
    yield Finding("ok", "broker", "answers")
    topics = Topics(settings.prefix)
    yield from _topics(settings, data_map)
    yield from _rules(settings, data_map, topics, codec)
    for target in sorted(data_map.targets):
        yield from _stores(settings, data_map, target)
        yield from gone_findings(settings, data_map, target)
    yield from _exports(settings, data_map)
    yield from _sweep(settings, data_map, topics, codec)
    yield _drill(settings)
    yield from audit_findings(settings, codec)


def _keys(settings: Settings) -> Iterator[Finding]:
    for name in ("master_key", "dead_letter_key"):
        try:
            settings.key(name)
        except EbbtideError as e:
            yield Finding("watch", name, str(e))


def _drill(settings: Settings) -> Finding:
    well, text = last_drill(settings.data_dir, now_ms=time.time_ns() // 1_000_000)
    return Finding("ok" if well else "watch", "recovery drill", text)


def _topics(settings: Settings, data_map: DataMap) -> Iterator[Finding]:
    specs = declared(settings, data_map)
    lines = differences(settings.kafka_bootstrap, specs)
    for line in lines:
        missing = "missing" in line or "partitions" in line
        yield Finding("mend" if missing else "watch", "topics", line)
    if not lines:
        yield Finding("ok", "topics", f"{len(specs)} are as declared")


def _rules(settings: Settings, data_map: DataMap, topics: Topics, codec: Codec) -> Iterator[Finding]:
    signed_by = with_signing_key(settings).rules_signer()
    try:
        rules = current_rules(settings.kafka_bootstrap, topics, codec, signed_by=signed_by)
    except RulesNotSigned as e:
        yield Finding("mend", "rules", str(e))
        return
    if signed_by is None:
        text = "whoever can write them is believed: set EBBTIDE_RULES_PUBLIC_KEY, which `ebbtide rules key` prints"
        yield Finding("watch", "rules", text)
    if rules is None:
        yield Finding("mend", "rules", "none are in force: `ebbtide rules apply --data-map FILE`")
        return
    wanted = data_map.rules(version=rules.version, sources=rules.sources)
    same = wanted.categories == rules.categories
    text = f"version {rules.version} is in force"
    if not same:
        text += f", but {data_map.file} says otherwise: `ebbtide rules apply --data-map {data_map.file}`"
    yield Finding("ok" if same else "watch", "rules", text)
    yield brake_finding(rules)
    if rules.paused:
        yield Finding("watch", "targets", "all are paused, nothing is erased: `ebbtide resume` lets them go on")


def brake_finding(rules: Rules) -> Finding:
    """Say whether anything stops what would erase unusually much."""
    off = [] if rules.brake is None else [n for n in sorted(rules.categories) if rules.limits("", n) is None]
    if rules.limits("") is None:
        text = "is off: a mistake may erase everything before anybody sees it: docs/brake.md, safety.brake"
    elif off:
        text = f"is off for {', '.join(off)}"
    else:
        return Finding("ok", "brake", "stops what would erase unusually much")
    return Finding("watch", "brake", text)


def _stores(settings: Settings, data_map: DataMap, target: str) -> Iterator[Finding]:
    try:
        inventory = BackfillSpec.of(settings, data_map).inventory(target)
    except NotBackfillable:
        yield Finding("ok", f"target {target}", "is an outside service: only its acknowledgements show how it is")
        return
    except EbbtideError as e:
        yield Finding("mend", f"target {target}", str(e))
        return
    try:
        total = inventory.total()
        page = inventory.page(None)
    except EbbtideError as e:
        yield Finding("mend", f"target {target}", str(e))
        return
    finally:
        inventory.close()
    yield Finding("ok", f"target {target}", f"answers; about {total} records")
    if data_map.targets[target].kind == "s3":
        yield from bucket_findings(data_map, target)
    yield from hiding_findings(data_map, target)
    telling = sum(looks_personal(found.record_id) for found in page.records[:SAMPLE])
    if telling:
        yield Finding(
            "watch",
            f"target {target}",
            f"{telling} of {min(len(page.records), SAMPLE)} record ids look like e-mail addresses or phone numbers: "
            "record ids are kept in the ledger, use surrogate keys",
        )


def hiding_findings(data_map: DataMap, target: str) -> Iterator[Finding]:
    """Say what a deletion can hide in a target while its grace runs, and that the columns for it fit."""
    what, kind, plans = f"target {target}", data_map.targets[target].kind, data_map.plans_of(target)
    if kind in ("kafka", "consumer"):
        yield Finding("ok", what, "cannot hide: what it holds stays visible during the grace of a deletion")
        return
    rows = [plan for plan in plans.values() if isinstance(plan, PostgresPlan)]
    bare = sorted(plan.category for plan in rows if plan.hidden is None)
    if bare:
        text = f"cannot hide {', '.join(bare)} during the grace of a deletion: name a `hidden` column in the data map"
        yield Finding("watch", what, text)
    try:
        for text in unfit_columns(data_map.targets[target].options.get("dsn", ""), [p for p in rows if p.hidden]):
            yield Finding("mend", what, text)
    except EbbtideError as e:
        yield Finding("mend", what, str(e))


def bucket_findings(data_map: DataMap, target: str) -> Iterator[Finding]:
    """Say of each bucket what an erasure means there; `watch` where versions or uploads are not seen."""
    sink = s3_sink(data_map, target)
    try:
        sink.check()
        for state in sink.states():
            fewer = not state.versioned or not state.lists_uploads
            yield Finding("watch" if fewer else "ok", f"target {target}", state.words())
    except EbbtideError as e:
        yield Finding("mend", f"target {target}", str(e))
    finally:
        sink.close()


def _exports(settings: Settings, data_map: DataMap) -> Iterator[Finding]:
    """Say whether archives can be written, and whether they lie apart from what is erased."""
    what = "export bucket"
    if not settings.s3_endpoint:
        yield Finding("watch", what, "EBBTIDE_S3_ENDPOINT is not set: exports are not written")
        return
    place = export_place(settings)
    bucket = open_bucket(place)
    try:
        versioned = bucket.check()
    except EbbtideError as e:
        yield Finding("mend", what, f"{e}; the exporter makes the bucket when it starts, if its key may")
        return
    finally:
        bucket.close()
    shared = sorted(
        name
        for name, target in data_map.targets.items()
        if place.bucket in (target.options.get("bucket"), *target.replicas)
    )
    if shared:
        yield Finding(
            "watch", what, f"{place.bucket} is also the bucket of target {', '.join(shared)}: set EBBTIDE_EXPORT_BUCKET"
        )
    said = "keeps versions, which go with their archive" if versioned else "keeps no versions"
    yield Finding("ok", what, f"answers; {said}")


def _sweep(settings: Settings, data_map: DataMap, topics: Topics, codec: Codec) -> Iterator[Finding]:
    seen = read_progress(settings.kafka_bootstrap, topics, codec)
    now = TimeSource(settings.day_seconds, settings.clock_anchor_ms).now_ms()
    day = (now - settings.lateness_s * 1000) // DAY_MS
    yield from judge_sweep(seen, targets=sorted(data_map.targets), partitions=settings.partitions, day=day)


def audit_findings(settings: Settings, codec: Codec) -> Iterator[Finding]:
    """Say whether what was done has become entries, and whether the newest heads are those that were signed."""
    what, reader = "audit", AuditTopics.of(settings, codec)
    try:
        key = audit_key(settings, codec)
        waiting, logs = reader.look(key, most_intents=MOST_WAITING, most_logs=SAMPLE)
    except (BadState, BadNote) as e:
        yield Finding("mend", what, f"{e}: see docs/audit.md, Failure cases")
    except EbbtideError as e:
        yield Finding("watch", what, str(e))
    else:
        more = " or more" if waiting >= MOST_WAITING else ""
        if waiting:
            yield Finding(
                "watch", what, f"{waiting}{more} things that were done are no entries yet: is the auditor running?"
            )
        else:
            yield Finding("ok", what, f"all that was done is in it; the heads of {logs} logs are signed")


def judge_sweep(
    seen: Mapping[tuple[str, int], Progress], *, targets: list[str], partitions: int, day: int
) -> Iterator[Finding]:
    """Yield what the progress records say. Pure; unknown is never taken for done."""
    left = unfinished(seen, targets=targets, partitions=partitions, day=day)
    unheard = [place for place in left if place not in seen]
    behind = {place for place in left if place in seen and seen[place].as_of_day < day}
    checks: list[tuple[Level, int, Callable[[int], str]]] = [
        (
            "watch",
            len(unheard),
            lambda n: f"{n} of target and partition have not been heard of: is the ledger running?",
        ),
        (
            "mend",
            len(behind),
            lambda n: f"{n} of target and partition stand before today: are the clock and every gateway running?",
        ),
        (
            "watch",
            sum(seen[place].blocked for place in left if place in seen),
            lambda n: f"{n} of target and partition wait for their target: is its runner up, does the store answer?",
        ),
    ]
    for level, count, text in checks:
        if count:
            yield Finding(level, "sweep", text(count))
    closed = sum({place[1]: p.closed_records for place, p in seen.items()}.values())
    if closed:
        yield Finding("watch", "orgs", f"about {closed} records belong to orgs that are not open: publish their OrgSet")
    if not left:
        yield Finding("ok", "sweep", "all that is due today is acknowledged")


def looks_personal(record_id: str) -> bool:
    """Return whether a record id looks like an e-mail address or a phone number."""
    return bool(_EMAIL.fullmatch(record_id) or (_PHONE.fullmatch(record_id) and not record_id.isdigit()))
