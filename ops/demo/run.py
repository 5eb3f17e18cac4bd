"""The demo's course: make stores, backfill them, open the orgs, publish live while the sweep runs, ask, check.

    stores ─ backfill ─▶ ledger ◀─ live events           every store is read again at the end, by plain clients,
    policies, then orgs ─▶ sweep ─▶ stores              and compared with `ops.demo.expected`, record by record

The order is the one to bring an org aboard with: its policy and its records first, then the org itself. Until then
nothing of it is due. When all is swept, the owner of one org asks for things over HTTP (`ops.demo.asking`).
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ebbtide.envelope import public_key_of
from ebbtide.publisher import Publisher
from ops.api.tokens import OWNER
from ops.backfill.run import run_backfill
from ops.backfill.spec import BackfillSpec
from ops.demo.asking import ASKING, Asking, Step
from ops.demo.caller import Caller
from ops.demo.certified import certificates
from ops.demo.expected import Cell, count, must_go
from ops.demo.people import DAY_S, ORGS, Record, make_records
from ops.demo.stores import (
    DAMAGED,
    ERASED,
    KEPT,
    Bucket,
    fill_crm,
    fill_profiles,
    make_stores,
    observe_crm,
    observe_profiles,
    visible_rows,
)
from ops.demo.vault import Vault
from ops.demo.waiting import last_look
from ops.engine import Engine
from ops.local.s3 import s3_client
from ops.progress import read_progress
from ops.requests import RequestDoor
from ops.settings import Settings
from schemas.codec import registered_codec
from schemas.topics import Topics
from streams.audit.log import head_key
from streams.audit.note import NoteKey

LIVE = 500
"""Records that are published while the sweep runs; every tenth is deleted again by its own producer."""

Show = Callable[[str, int, int], None]
"""(what, done, total): feeds a progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the demo found. `differences` counts records whose state is not what the policies say."""

    kafka_real: bool
    records: int
    kept: Mapping[Cell, int]
    erased: Mapping[Cell, int]
    expected_kept: Mapping[Cell, int]
    expected_erased: Mapping[Cell, int]
    differences: int
    steps: Sequence[Step]
    certificates: Sequence[str]
    public_key: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every record is where its policy, and what was asked for, wants it."""
        swept = self.differences == 0 and self.kept == self.expected_kept and self.erased == self.expected_erased
        return swept and all(step.ok for step in self.steps)


@dataclass(slots=True)
class Demo:
    """One run over a started engine."""

    engine: Engine
    show: Show
    count: int
    bucket: Bucket = field(init=False)

    def run(self, work_dir: Path, *, limit_s: float) -> Result:
        """Do it all; give up waiting after `limit_s` seconds without the stores being as expected."""
        started = time.monotonic()
        settings, topics = self.engine.settings, Topics(self.engine.settings.prefix)
        now_s = int(time.time())
        stored = list(make_records(self.count - LIVE, now_s=now_s))
        live = self._live(now_s)
        vault = Vault(
            work_dir / "vault.sqlite", settings.kafka_bootstrap, topics.outbox("vault"), topics.inbox("vault")
        )
        s3 = self.engine.stack.s3
        client = s3_client(
            endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=settings.s3_region
        )
        self.bucket = Bucket(client=client, name=s3.bucket)
        vault.start()
        try:
            self._fill(stored, vault)
            self._bring_aboard(settings, stored)
            deleted = self._publish_live(settings, live, vault)
            records = [r for r in (*stored, *live) if r.id not in deleted]
            seen = self._await(records, vault, now_s=now_s, limit_s=limit_s)
            steps, texts = self._ask(records, vault, now_s=now_s, limit_s=limit_s)
        finally:
            vault.stop()
        return self._result(records, seen, steps, texts, now_s, time.monotonic() - started)

    @property
    def _key(self) -> NoteKey:
        return head_key(public_key_of(self.engine.settings.audit_key()))

    def _live(self, now_s: int) -> list[Record]:
        fresh = make_records(LIVE, now_s=now_s, seed=8)
        return [dataclasses.replace(r, created_s=now_s - DAY_S // 4, touched_s=0) for r in fresh]

    def _fill(self, records: Sequence[Record], vault: Vault) -> None:
        fill_crm(self.engine.stack.postgres.dsn, records)
        fill_profiles(self.engine.stack.kafka.bootstrap, records)
        vault.add((r.org, r.id) for r in records if r.category == "media")
        self.bucket.fill(records)

    def _bring_aboard(self, settings: Settings, records: Sequence[Record]) -> None:
        door = RequestDoor.of(settings)
        for org in ORGS:
            changes = [{"category": c, "period": f"{days} d"} for c, days in org.policy.items()]
            if changes:
                door.ask("policy", org.id, {"settings": changes}, requested_by="demo")
        for target in ("crm", "profiles"):
            spec = BackfillSpec.of(settings, self.engine.data_map)
            run_backfill(spec, target, progress=lambda done, total, t=target: self.show(f"backfill {t}", done, total))  # type: ignore[misc]
        with Publisher(settings.kafka_bootstrap, prefix=settings.prefix, producer="demo") as publisher:
            for r in records:
                if r.category == "media":
                    publisher.created(r.org, r.category, r.id, subjects=[r.user], at=r.created_s * 1000)
                if r.touched_s:
                    publisher.touched(r.org, r.category, r.id, at=r.touched_s * 1000)
            publisher.flush()
            for org in ORGS:
                ended = 0 if org.contract_ended is None else int((time.time() - org.contract_ended * DAY_S) * 1000)
                publisher.org(org.id, name=org.name, contract_end=ended)

    def _publish_live(self, settings: Settings, live: Sequence[Record], vault: Vault) -> set[str]:
        """Write new records to their stores, as services do, and say so; return the ids deleted again."""
        deleted = {r.id for r in live[::10] if r.category == "messages"}
        with Publisher(settings.kafka_bootstrap, prefix=settings.prefix, producer="demo") as publisher:
            for start in range(0, len(live), 50):
                some = live[start : start + 50]
                self._fill(some, vault)
                for r in some:
                    publisher.created(r.org, r.category, r.id, subjects=[r.user], at=r.created_s * 1000)
                    if r.id in deleted:
                        publisher.deleted(r.org, r.category, r.id, at=r.created_s * 1000 + 1)
                publisher.flush()
                self.show("live events", start + len(some), len(live))
        with psycopg.connect(self.engine.stack.postgres.dsn) as connection:
            connection.execute("delete from demo_messages where id = any(%s::uuid[])", (list(deleted),))
        return deleted

    def _await(self, records: Sequence[Record], vault: Vault, *, now_s: int, limit_s: float) -> dict[str, str]:
        """Watch the sweep until the stores are as expected and nothing is under way, or time is up."""
        settings, topics = self.engine.settings, Topics(self.engine.settings.prefix)
        due = sum(must_go(r, now_s=now_s) for r in records)

        def look() -> tuple[bool, dict[str, str]]:
            rows = read_progress(settings.kafka_bootstrap, topics, registered_codec(settings.registry_url)).values()
            self.show("erased", min(sum(p.records_acked for p in rows), due), due)
            idle = all(not p.pending and not p.blocked for p in rows)
            return idle, self._observe(records, vault) if idle else {}

        def settled(found: tuple[bool, dict[str, str]]) -> bool:
            idle, seen = found
            return idle and all((seen[r.id] == ERASED) == must_go(r, now_s=now_s) for r in records)

        return last_look(look, settled, limit_s=limit_s)[1] or self._observe(records, vault)

    def _ask(
        self, records: Sequence[Record], vault: Vault, *, now_s: int, limit_s: float
    ) -> tuple[list[Step], Sequence[str]]:
        """Let an owner ask for things over HTTP; return what each came to, and the certificates."""
        settings = self.engine.settings
        caller = Caller(
            url=f"http://{settings.api_host}:{settings.api_port}",
            org=ASKING,
            token=lambda: self.engine.issuer.token({ASKING: OWNER}),
        )
        steps = Asking(
            caller=caller,
            records=records,
            observe=lambda: self._observe(records, vault),
            visible=lambda: visible_rows(self.engine.stack.postgres.dsn, ASKING) + self._objects_of(ASKING),
            expected={r.id: ERASED if must_go(r, now_s=now_s) else KEPT for r in records},
            now_s=now_s,
            show=self.show,
            limit_s=limit_s,
        ).run()
        certified = certificates(caller, [step.job for step in steps if step.job], self._key, limit_s=limit_s)
        return [*steps, certified.step], certified.texts

    def _objects_of(self, org: str) -> int:
        return sum(owner == org for owner, _ in self.bucket.ids())

    def _observe(self, records: Sequence[Record], vault: Vault) -> dict[str, str]:
        files, objects, versions = vault.ids(), self.bucket.ids(), self.bucket.versions()
        media = {}
        for r in records:
            if r.category == "media":
                there = [(r.org, r.id) in found for found in (files, objects, versions)]
                media[r.id] = KEPT if all(there) else DAMAGED if any(there) else ERASED
        crm = observe_crm(self.engine.stack.postgres.dsn, records)
        return crm | observe_profiles(self.engine.stack.kafka.bootstrap, records) | media

    def _result(
        self,
        records: Sequence[Record],
        seen: Mapping[str, str],
        steps: Sequence[Step],
        texts: Sequence[str],
        now_s: int,
        seconds: float,
    ) -> Result:
        kept, gone = count(records, now_s=now_s)
        found: dict[str, Counter[Cell]] = {KEPT: Counter(), ERASED: Counter()}
        differences = 0
        for r in records:
            state = seen[r.id]
            if state in found:
                found[state][r.org, r.category] += 1
            differences += state != (ERASED if must_go(r, now_s=now_s) else KEPT)
        return Result(
            kafka_real=self.engine.stack.kafka.real,
            records=len(records),
            kept=found[KEPT],
            erased=found[ERASED],
            expected_kept=kept,
            expected_erased=gone,
            differences=differences,
            steps=steps,
            certificates=texts,
            public_key=self._key.text(),
            seconds=round(seconds, 1),
        )


def make_demo_stores(settings: Settings) -> None:
    """Create the stores that the demo's data map names."""
    make_stores(settings.postgres_dsn, settings.kafka_bootstrap)


def report(result: Result) -> dict[str, Any]:
    """Return the result as the one object that `--json` prints last."""

    def named(cells: Mapping[Cell, int]) -> dict[str, dict[str, int]]:
        by_org: dict[str, dict[str, int]] = {org.id: {} for org in ORGS}
        for (org, category), n in sorted(cells.items()):
            by_org[org][category] = n
        return by_org

    return {
        "ok": result.ok,
        "kafka": {"real": result.kafka_real},
        "records": result.records,
        "kept": sum(result.kept.values()),
        "erased": sum(result.erased.values()),
        "differences": result.differences,
        "requests": [{"name": s.name, "ok": s.ok, "differences": s.differences, **s.facts} for s in result.steps],
        "certificates": list(result.certificates),
        "public_key": result.public_key,
        "seconds": result.seconds,
        "by_org": {"kept": named(result.kept), "erased": named(result.erased)},
    }
