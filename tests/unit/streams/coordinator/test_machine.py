"""Laws that hold whatever comes in whatever order: requests, answers, ticks, growth, repeats and crashes.

A machine draws them, plays the ledgers with their own memory, and looks at every state that is told:
no illegal move (the table is read anew here, not taken from the code that moves), versions grow by one, whatever is
played twice changes nothing, and when all that was asked has been answered every job has ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from schemas.jobs import ENDED, KINDS, State
from schemas.topics import DAY_MS
from streams.coordinator.stats import job_stats
from streams.reducer import Send
from tests.support.desk import CODEC, ORG, RULES, TOPICS, Desk, erasure, read
from tests.unit.schemas.test_jobs import TABLE

NAME = {"confirm_org_name": "Acme Boats"}
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
        self.barriers: dict[str, set[int]] = {}
        self.markers: list[Send] = []
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
            elif send.topic == TOPICS.answers:
                self.take(self.desk.raw(send.topic, send.value or b"", send.key))
            elif send.topic == TOPICS.request_status:
                self.look_at(read(send))

    def look_at(self, status: dict[str, Any]) -> None:
        job, state, version = status["request_id"], status["state"], status["version"]
        was, last = self.seen.get(job, (State.REQUESTED, 0))
        if (state, version) != (was, last):
            assert version == last + 1, (job, version, last)
            assert reachable(State(was), State(state)), f"{job}: {was} to {state}"
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

    @rule(target=jobs, days=st.integers(0, 3), name=st.sampled_from([NAME, NAME, {"confirm_org_name": "X"}]))
    def delete(self, days: int, name: dict[str, str]) -> str:
        return self.ask("delete", {**name, "grace_days": days})

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
        kind=st.sampled_from(["cancel", "restore", "pause", "resume", "approve", "verify", "deny", "extend"]),
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
        if twice and name not in ("Erase", "Hide"):
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
            case _:
                self.erase_answer(partition, command["request_id"], step)
                return
        self.take(self.desk.answer(kind, partition, body, **more))

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
                if not self.open_commands and all(State(s) in ENDED for s, _ in self.seen.values()):
                    break
                while self.open_commands:
                    self.answer(*self.open_commands.pop(0))
                for request_id, partitions in self.barriers.items():
                    for partition in sorted(partitions):
                        self.erase_answer(partition, request_id, 3)
            assert {j: s for j, (s, _) in self.seen.items() if State(s) not in ENDED} == {}
            org = json.loads(self.desk.store.rows()[b"o" + ORG.encode()])
            assert (org["routed"], org["awaited"], org["deletion"]) == (len(org["shards"]), 0, "")


def reachable(before: State, after: State) -> bool:
    """Whether `after` can follow in one entry: some moves pass through a state that is not told."""
    edge, reached = {before}, set()
    for _ in range(3):
        edge = {a for b in edge for a in TABLE[b]} - reached
        reached |= edge
        if before == after or after in reached:
            return True
    return False


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
