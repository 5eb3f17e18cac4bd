"""Laws that hold whatever comes in whatever order: requests, answers, ticks, growth, repeats and crashes.

A machine draws them, plays the ledgers with their own memory, and looks at every state that is told:
no illegal move (the table is read anew here, not taken from the code that moves), versions grow by one, whatever is
played twice changes nothing, counts, deadlines and timers are those of the jobs that there are, nothing is kept of jobs
that are forgotten, and when all that was asked has been answered every job has ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from schemas.jobs import CANCELLABLE, ENDED, KINDS, STANDING, State
from schemas.topics import DAY_MS
from streams.coordinator import keys
from streams.coordinator.rows import Hold, Job, Restriction
from streams.coordinator.stats import job_stats
from streams.coordinator.work import FORGET, LATE
from streams.reducer import Send
from tests.support.desk import CODEC, HOME, ORG, RULES, TOPICS, Desk, erasure, ordered, read
from tests.unit.schemas.test_jobs import TABLE

NAME = {"confirm_org_name": "Acme Boats"}
RIGHT = {"messages": {"name": "Ada Byron"}}
SUBJECTS = st.lists(st.sampled_from(["u-1", "u-2", "u-3", "u-4"]), min_size=1, max_size=4)
SETTINGS = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["messages", "media", "logs.audit", "dreams"]),
        "period": st.sampled_from(["", "10 d", "30 d", "400 d", "default", "0 d"]),
        "min_retain": st.sampled_from(["", "5 d", "default"]),
    }
)


class Machine(RuleBasedStateMachine):
    """A desk with ledgers that answer later, in any order, and sometimes twice."""

    jobs: Bundle[str] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(replace(RULES, approval_over=2, verify_identity=True))
        self.open_commands: list[tuple[int, str, dict[str, Any]]] = []
        self.erase_versions: dict[tuple[str, int], int] = {}
        self.hide_versions: dict[int, int] = {}
        self.order_versions: dict[tuple[str, int], int] = {}
        self.barriers: dict[str, set[int]] = {}
        self.markers: list[Send] = []
        self.lists: list[tuple[int, dict[str, Any]]] = []
        self.works: list[dict[str, Any]] = []
        self.seen: dict[str, tuple[str, int]] = {}
        self.asked: list[dict[str, Any]] = []
        self.shards = 0

    # -- what comes in -------------------------------------------------------------------------------------------

    def take(self, sends: Sequence[Send]) -> None:
        """Look at everything that was sent."""
        for send in sends:
            if send.topic == TOPICS.ledger:
                name = CODEC.name_of(send.value or b"")
                if name not in ("Rules",):
                    self.open_commands.append((send.partition, name, read(send)))
            elif send.topic == TOPICS.requests:
                self.markers.append(send)
            elif send.topic == TOPICS.selections:
                self.works.append(read(send))
            elif send.topic == TOPICS.answers:
                self.take(self.desk.raw(send.topic, send.value or b"", send.key))
            elif send.topic == TOPICS.request_status:
                self.look_at(read(send))

    def look_at(self, status: dict[str, Any]) -> None:
        job, state, version = status["request_id"], status["state"], status["version"]
        was, last = self.seen.get(job, (State.REQUESTED, 0))
        if (state, version) != (was, last):
            assert version == last + 1, (job, version, last)
            assert reachable(State(was), State(state), status["kind"]), f"{job}: {was} to {state}"
        assert (status["reason"] != "") == (state == State.REFUSED)
        self.seen[job] = state, version

    def ask(self, kind: str, body: dict[str, Any], **more: Any) -> str:
        record = self.desk.request(kind, body, **more)
        self.asked.append(record)
        self.take(self.desk.send(record))
        return str(record["request_id"])

    @rule(shards=st.sampled_from([1, 1, 3, 6]))
    def publish_the_org(self, shards: int) -> None:
        self.shards = max(self.shards, shards)
        self.take(self.desk.org(shards=shards))

    @rule(target=jobs, subjects=SUBJECTS, by=st.sampled_from(["ann", "bob", ""]), sure=st.booleans())
    def erase(self, subjects: list[str], by: str, sure: bool) -> str:
        body = {"identity": "verified" if sure else "unverified"}
        return self.ask("erase", body, subjects=subjects, requested_by=by)

    @rule(target=jobs, subjects=SUBJECTS, by=st.sampled_from(["ann", "bob"]), sure=st.booleans())
    def rectify(self, subjects: list[str], by: str, sure: bool) -> str:
        body = {"identity": "verified" if sure else "unverified"}
        return self.ask("rectify", body, subjects=subjects, values=RIGHT, requested_by=by)

    @rule(target=jobs, subjects=SUBJECTS, sure=st.booleans(), some=st.booleans())
    def restrict(self, subjects: list[str], sure: bool, some: bool) -> str:
        body = {"identity": "verified" if sure else "unverified", **({"categories": ["messages"]} if some else {})}
        return self.ask("restrict", body, subjects=subjects[:2])

    @rule(target=jobs, sure=st.booleans(), all_said=st.booleans())
    def what_is_restricted_is_lifted(self, sure: bool, all_said: bool) -> str:
        """Drawn alone, a lift seldom meets a restriction that is placed everywhere."""
        job = self.restrict(["u-1"], True, sure)
        while all_said and self.open_commands:
            self.a_ledger_answers(0, False, 3)
        return self.ask("unrestrict", {"job": job})

    @rule(target=jobs, days=st.integers(0, 3), name=st.sampled_from([NAME, NAME, {"confirm_org_name": "X"}]))
    def delete(self, days: int, name: dict[str, str]) -> str:
        return self.ask("delete", {**name, "grace_days": days})

    @rule(target=jobs, subjects=SUBJECTS | st.just([]), sure=st.booleans(), media=st.booleans())
    def export(self, subjects: list[str], sure: bool, media: bool) -> str:
        body = {"identity": "verified" if sure else "unverified", "include_media": media, "format": "both"}
        return self.ask("export", body, subjects=subjects)

    @rule(target=jobs, changes=st.lists(SETTINGS, max_size=2))
    def policy(self, changes: list[dict[str, str]]) -> str:
        return self.ask("policy", {"settings": changes})

    @rule(target=jobs, changes=st.lists(SETTINGS, max_size=1))
    def preview(self, changes: list[dict[str, str]]) -> str:
        return self.ask("preview", {"settings": changes})

    @rule(target=jobs, days=st.integers(-1, 5))
    def lock(self, days: int) -> str:
        return self.ask("lock", {"until_day": self.desk.now // DAY_MS + days})

    @rule(target=jobs, hold=st.sampled_from(["h-1", "h-2"]), subjects=SUBJECTS | st.just([]))
    def hold(self, hold: str, subjects: list[str]) -> str:
        return self.ask("hold", {"hold_id": hold, "grace_days": 1}, subjects=subjects)

    @rule(target=jobs, hold=st.sampled_from(["h-1", "h-2"]))
    def release(self, hold: str) -> str:
        return self.ask("release", {"hold_id": hold})

    @rule(
        target=jobs,
        kind=st.sampled_from(
            ["cancel", "restore", "pause", "resume", "approve", "verify", "deny", "extend", "unrestrict"]
        ),
        job=jobs,
        by=st.sampled_from(["ann", "bob"]),
    )
    def move(self, kind: str, job: str, by: str) -> str:
        reason = {"deny": {"reason": "no_match"}, "extend": {"reason": "complexity"}}
        return self.ask(kind, {"job": job, **reason.get(kind, {})}, requested_by=by)

    @rule(target=jobs, first=st.sampled_from(["cancel", "restore", "pause", "approve"]))
    def think_again(self, first: str) -> str:
        """A deletion, and a move of it at once: drawn alone, the two seldom meet."""
        job = self.ask("delete", {**NAME, "grace_days": 2})
        self.ask(first, {"job": job}, requested_by="bob")
        return job

    @rule(
        target=jobs,
        kind=st.sampled_from(["erase", "export", "rectify", "restrict"]),
        moves=st.lists(st.sampled_from(["verify", "deny", "extend", "extend", "cancel"]), min_size=1, max_size=3),
        sure=st.booleans(),
    )
    def a_person_is_decided_about(self, kind: str, moves: list[str], sure: bool) -> str:
        if not self.shards:
            self.publish_the_org(1)
        body = {"identity": "verified" if sure else "unverified"}
        job = self.ask(kind, body, subjects=["u-1"], values=RIGHT if kind == "rectify" else None)
        for move in moves:
            self.move(move, job, "bob")
        return job

    @rule(kind=st.sampled_from(["erase", "export"]), end=st.sampled_from(["cancel", "deny"]), answered=st.booleans())
    def what_was_late_is_ended_and_forgotten(self, kind: str, end: str, answered: bool) -> None:
        job = self.a_person_is_decided_about(kind, ["verify"] if kind == "export" and end == "cancel" else [], False)
        while answered and self.open_commands:
            self.a_ledger_answers(0, False, 3)
        self.a_long_time_passes(31)
        self.move(end, job, "bob")
        self.a_long_time_passes(62)

    @rule(target=jobs, kind=st.sampled_from([*KINDS, "moon"]))
    def nonsense(self, kind: str) -> str:
        return self.ask(kind, {"x": 1}, subjects=["u-1"] if kind == "erase" else ())

    @rule(which=st.integers(0, 1000))
    @precondition(lambda self: self.asked)
    def the_same_request_again_changes_nothing(self, which: int) -> None:
        before = self.rows()

        sends = self.desk.send(self.asked[which % len(self.asked)])

        assert self.rows() == before
        assert {s.topic for s in sends} <= {TOPICS.request_status, TOPICS.dead_letters}
        self.take(sends)

    def rows(self) -> dict[bytes, bytes]:
        return {k: v for k, v in self.desk.store.rows().items() if k != b"c"}

    # -- ledgers and time ----------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1000), twice=st.booleans(), step=st.integers(0, 3))
    @precondition(lambda self: self.open_commands)
    def a_ledger_answers(self, which: int, twice: bool, step: int) -> None:
        """Commands to one partition are answered in order; those of different partitions in any."""
        partition = self.open_commands[which % len(self.open_commands)][0]
        at = next(i for i, c in enumerate(self.open_commands) if c[0] == partition)
        _, name, command = self.open_commands.pop(at)
        self.answer(partition, name, command, step)
        if twice and name not in ("Erase", "Hide", "Select", "OrderRecords"):
            before = self.desk.store.rows()
            self.answer(partition, name, command, step)
            assert self.desk.store.rows() == before

    def answer(self, partition: int, name: str, command: dict[str, Any], step: int = 3) -> None:
        if name == "Hide":
            self.hide_answer(partition, command, step)
            return
        more: dict[str, Any] = {"epoch": command["epoch"], "version": command.get("version", 0)}
        body: dict[str, Any] = {}
        match name:
            case "OrgOpen":
                kind = "opened"
            case "PolicySet":
                kind = "policy"
            case "HoldPlaced":
                kind, more["request_id"] = "hold", command["hold_id"]
            case "HoldReleased":
                kind, more["request_id"] = "released", command["hold_id"]
                body = {"ends_day": self.desk.now // DAY_MS + 1}
            case "Preview":
                kind, more["request_id"] = "preview", command["request_id"]
                body = {"as_of_day": 1, "categories": {"messages": {"records": 1, "months": {}, "targets": {}}}}
            case "Select":
                self.select_answer(partition, command, step)
                return
            case "OrderRecords":
                self.order_answer(partition, command, step)
                return
            case _:
                self.erase_answer(partition, command["request_id"], step)
                return
        self.take(self.desk.answer(kind, partition, body, **more))

    def order_answer(self, partition: int, command: dict[str, Any], step: int) -> None:
        """Records are looked for, ordered and answered, unless the org has grown; some are left as they are."""
        org = json.loads(self.desk.store.rows()[b"o" + ORG.encode()])
        name, more = command["request_id"], {"request_id": command["request_id"], "epoch": command["epoch"]}
        if command["epoch"] < org["epoch"]:
            self.take(self.desk.answer("ordered", partition, {}, error="of an epoch behind", version=0, **more))
            return
        self.order_versions[name, partition] = version = self.order_versions.get((name, partition), 0) + 1
        crm = {"due": 3, "done": max(0, step - 1), "hold": int(step == 3)}
        body = ordered(listed=step > 0, over=step == 3, crm=crm)
        self.take(self.desk.answer("ordered", partition, body, version=version, **more))
        if step < 3:
            self.open_commands.append((partition, "OrderRecords", command))

    def select_answer(self, partition: int, command: dict[str, Any], step: int) -> None:
        """A list is made, unless the org has grown meanwhile, or there are no rules yet."""
        org = json.loads(self.desk.store.rows()[b"o" + ORG.encode()])
        more = {"request_id": command["request_id"], "epoch": command["epoch"]}
        if step == 0 or command["epoch"] < org["epoch"]:
            self.take(self.desk.answer("selected", partition, {}, error="not now", **more))
            return
        self.lists.append((partition, command))  # the exporter may be done with it before this answer is read
        if step == 1:
            self.the_exporter_writes(len(self.lists) - 1, 3)
        self.take(self.desk.answer("selected", partition, {"parts": 2, "targets": {"crm": 4}}, **more))

    @rule(which=st.integers(0, 1000), step=st.integers(0, 3))
    @precondition(lambda self: self.lists)
    def the_exporter_writes(self, which: int, step: int) -> None:
        """Some parts of a shard's list are written, or all of them, with what was missing."""
        at = which % len(self.lists)
        partition, command = self.lists[at]
        counts = {"records": 2 * min(step, 2), "rows": step, "missing": step == 2}
        body = {"parts": min(step, 2), "targets": {"crm": {n: int(v) for n, v in counts.items()}}}
        if step >= 2:
            self.lists.pop(at)
        more = {"request_id": command["request_id"], "epoch": command["epoch"]}
        self.take(self.desk.answer("export" if step >= 2 else "exporting", partition, body, **more))

    @rule(which=st.integers(0, 1000), well=st.booleans())
    @precondition(lambda self: self.works)
    def the_exporter_finishes(self, which: int, well: bool) -> None:
        """An archive is put together or deleted, or cannot be."""
        work = self.works.pop(which % len(self.works))
        more = {"request_id": work["request_id"], "epoch": work["epoch"]}
        if work["work"] == "expire":
            body = {"versions": 3, "uploads": 0, "left": 0 if well else 1}
            self.take(self.desk.answer("expired", HOME, body, **more))
            return
        state = self.seen[work["request_id"]][0]
        file = {"key": "k", "version": "v", "name": "n", "bytes": 1, "sha256": "0", "format": "json", "rows": 1}
        counts = {"parts": 1, "records": 1, "rows": 1, "missing": 0, "bytes": 1}
        body = {"bucket": "b", "prefix": "p/", "manifest": file, "files": [file], "files_total": 1, "counts": counts}
        body |= {"reasons": {} if well else {"not_found": 1}}
        error = "" if well or state != "awaiting_acks" or which % 2 else "a part is missing"
        self.take(self.desk.answer("manifest", HOME, body, error=error, **more))

    def hide_answer(self, partition: int, command: dict[str, Any], step: int) -> None:
        """Some targets are slower than others; the last answer may come after that to a later order."""
        number = command["number"]
        self.hide_versions[number] = version = self.hide_versions.get(number, 0) + 1
        waiting = ["messages"] if step < 3 else []
        self.take(self.desk.hidden(number, command["request_id"], version=version, waiting=waiting))
        if waiting:
            self.open_commands.append((partition, "Hide", command))

    def erase_answer(self, partition: int, request_id: str, step: int) -> None:
        self.barriers.setdefault(request_id, set()).add(partition)
        version = self.erase_versions.get((request_id, partition), 0) + 1
        self.erase_versions[request_id, partition] = version
        body = [
            erasure(scanned=False),
            erasure(found=2, crm=(2, 1, 0)),
            erasure(found=2, waiting={"hold": 1}, crm=(1, 1, 0)),
            erasure(found=2, crm=(2, 2, 0)),
        ][step]
        self.take(self.desk.answer("erase", partition, body, request_id=request_id, version=version))

    @rule(which=st.integers(0, 1000), step=st.integers(0, 3))
    @precondition(lambda self: self.barriers)
    def a_ledger_says_more_of_an_erasure(self, which: int, step: int) -> None:
        places = sorted((r, p) for r, ps in self.barriers.items() for p in ps)
        request_id, partition = places[which % len(places)]
        self.erase_answer(partition, request_id, step)

    @rule(days=st.sampled_from([20, 31, 62]))
    def a_long_time_passes(self, days: int) -> None:
        """Deadlines pass, and what is long over is forgotten."""
        self.desk.now += days * DAY_MS
        self.take(self.desk.tick(approved=True))

    @rule(hours=st.sampled_from([1, 13, 24, 40]), wrong=st.sampled_from([0, 0, 0, 90 * DAY_MS, -DAY_MS]))
    def time_passes(self, hours: int, wrong: int) -> None:
        self.desk.now += hours * 3_600_000
        self.take(self.desk.tick(self.desk.now + wrong))

    @rule()
    @precondition(lambda self: self.markers)
    def a_marker_is_read(self) -> None:
        marker = self.markers.pop(0)
        self.take(self.desk.raw(marker.topic, marker.value or b"", marker.key))

    @rule()
    def another_worker_goes_on(self) -> None:
        """Nothing is in memory: a new reducer over the same rows is the same coordinator."""
        fresh = Desk(None)
        fresh.store, fresh.offset, fresh.number, fresh.now = (
            self.desk.store.copy(),
            self.desk.offset,
            self.desk.number,
            self.desk.now,
        )
        self.desk = fresh

    # -- laws ----------------------------------------------------------------------------------------------------

    @invariant()
    def the_count_of_jobs_is_that_of_their_states(self) -> None:
        counted: dict[str, int] = {}
        for states in job_stats(self.desk.store).jobs.values():
            for state, count in states.items():
                counted[state] = counted.get(state, 0) + count
        told: dict[str, int] = {}
        kept = {key.partition(b"\0")[2].decode() for key in self.desk.store.rows() if key.startswith(b"j")}
        for state, _ in (status for job, status in self.seen.items() if job in kept):
            told[state] = told.get(state, 0) + 1
        assert counted == told

    @invariant()
    def deadlines_and_timers_are_those_of_the_jobs_that_are_not_done(self) -> None:
        rows = self.desk.store.rows()
        jobs = [Job.from_bytes(raw) for key, raw in rows.items() if key.startswith(keys.JOB)]
        due = [job for job in jobs if job.due_until]
        late = {j.request_id for j in jobs if j.overdue}
        forget = {keys.read_timer(key)[3] for key in rows if key[:1] == keys.TIMER and chr(key[9]) == FORGET}

        assert {k for k in rows if k[:1] == keys.DEADLINE} == {
            keys.deadline(j.deadline, ORG, j.request_id) for j in due
        }
        assert {k for k in rows if k[:1] == keys.TIMER and chr(k[9]) == LATE} == {
            keys.timer(j.deadline, LATE, ORG, j.request_id) for j in due if not j.overdue
        }
        assert late <= {job.request_id for job in due}
        assert sum(job_stats(self.desk.store).overdue.values()) == len(late)
        called_off = (State.REFUSED, State.CANCELLED)
        over = {j.request_id for j in jobs if j.ended and (j.kind not in STANDING or j.state in called_off)}
        assert over <= forget

    @invariant()
    def what_is_restricted_is_held_until_it_is_lifted_and_nobody_is_twice(self) -> None:
        rows = self.desk.store.rows()
        standing = [Restriction.from_bytes(raw) for key, raw in rows.items() if key.startswith(keys.RESTRICTION)]
        holds = {Hold.from_bytes(raw).hold_id for key, raw in rows.items() if key.startswith(keys.HOLD)}
        assert {row.hold_id for row in standing if row.hold_id} <= holds
        of_all = [ref for row in standing for ref in {row.refs[i : i + 16] for i in range(0, len(row.refs), 16)}]
        assert len(of_all) == len(set(of_all))

    @invariant()
    def no_value_is_kept_in_the_clear_and_none_at_all_of_a_job_that_has_ended(self) -> None:
        rows = self.desk.store.rows()
        assert not any(b"Byron" in raw for raw in rows.values())
        jobs = [Job.from_bytes(raw) for key, raw in rows.items() if key.startswith(keys.JOB)]
        assert not any("sealed" in job.body for job in jobs if job.ended)

    @invariant()
    def nothing_is_kept_of_jobs_that_are_forgotten(self) -> None:
        rows = self.desk.store.rows()
        jobs = {key[len(keys.of(keys.JOB, ORG)) :] for key in rows if key.startswith(keys.JOB)}
        answers = {key[len(keys.of(keys.ANSWER, ORG)) : -3] for key in rows if key.startswith(keys.ANSWER)}
        assert answers <= jobs

    def teardown(self) -> None:
        """Let all be answered: then every job has ended, and gateways know every shard."""
        if self.shards:
            for _ in range(50):
                waiting = [
                    j for j, (s, _) in self.seen.items() if s in ("verifying_identity", "awaiting_approval", "paused")
                ]
                for job in waiting:
                    self.ask("cancel", {"job": job})
                for _ in range(4):
                    self.desk.now += DAY_MS
                    self.take(self.desk.tick(approved=True))
                while self.markers:
                    self.a_marker_is_read()
                if not (self.open_commands or self.lists or self.works) and all(
                    State(s) in ENDED for s, _ in self.seen.values()
                ):
                    break
                while self.open_commands or self.lists or self.works:
                    if self.open_commands:
                        self.answer(*self.open_commands.pop(0))
                    elif self.lists:
                        self.the_exporter_writes(0, 3)
                    else:
                        self.the_exporter_finishes(0, True)
                for request_id, partitions in self.barriers.items():
                    for partition in sorted(partitions):
                        self.erase_answer(partition, request_id, 3)
            assert {j: s for j, (s, _) in self.seen.items() if State(s) not in ENDED} == {}
            org = json.loads(self.desk.store.rows()[b"o" + ORG.encode()])
            assert (org["routed"], org["awaited"], org["deletion"]) == (len(org["shards"]), 0, "")


def reachable(before: State, after: State, kind: str) -> bool:
    """Whether `after` can follow in one entry: some moves pass through a state that is not told."""
    edge, reached = {before}, {State.CANCELLED} & ({State.CANCELLED} if before in CANCELLABLE.get(kind, ()) else set())
    for _ in range(3):
        edge = {a for b in edge for a in TABLE[b]} - reached
        reached |= edge
        if before == after or after in reached:
            return True
    return False


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=35, stateful_step_count=40, deadline=None)
