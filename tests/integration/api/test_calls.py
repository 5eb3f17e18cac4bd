"""Every call that acted or was refused has one intent for the audit log, and none has been answered without it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ebbtide.partition import partition_of
from ops.api.calls import is_told
from ops.api.tokens import OWNER, READER
from schemas.codec import full_codec
from tests.integration.api.test_api import B
from tests.integration.api.world import World
from tests.integration.log import committed


@pytest.fixture
def org(world: World) -> str:
    return world.new_org()


@pytest.fixture
def client(world: World, org: str) -> Iterator[httpx2.Client]:
    with world.owner(org) as made:
        yield made


def told(world: World) -> list[dict[str, Any]]:
    """Return all intents of the API so far, in order within each org, with their facts read."""
    found = []
    for message in committed(world.settings.kafka_bootstrap, f"{world.settings.prefix}.audit-intents"):
        record = full_codec().decode(message.value() or b"")[1]
        assert message.key() == record["org"].encode()
        assert message.partition() == partition_of(record["org"].encode(), world.settings.partitions)
        found.append({**record, "facts": json.loads(record["facts"])})
    return found


def test_calls_that_acted_or_were_refused_are_told_once_each_before_they_are_answered(
    world: World, org: str, client: httpx2.Client
) -> None:
    before = Counter(str(one) for one in told(world))
    job = client.post(f"{B}/holds", json={"hold_id": "case-1"}).json()["id"]
    calls = [
        client.get(f"{B}/retention"),
        client.get(f"{B}/jobs/{job}"),
        client.get(f"{B}/jobs/no-such-job"),
        client.post(f"{B}/delete", json={"confirm_org_name": "wrong"}),
        client.put(f"{B}/retention", json={"messages_days": 0}),
        client.put(f"{B}/retention", json={"messages_days": 9}, headers={"If-Match": '"99"'}),
        client.get(f"{B}/jobs/{job}/files/0"),
        client.patch(f"{B}/jobs"),
    ]
    with world.client({org: READER}) as reader, world.client({"elsewhere": OWNER}) as foreign:
        calls += [reader.post(f"{B}/jobs/{job}/pause"), foreign.get(f"{B}/holds", params={"org": org})]
    with world.client({org: OWNER}, signed_in_s=1.0) as stale, world.client_with(None) as nobody:
        calls += [stale.post(f"{B}/jobs/{job}/cancel"), nobody.get(f"{B}/holds"), nobody.get("/healthz")]

    new = [one for one in told(world) if not before[str(one)]]
    mine = [one for one in new if one["org"] == org]
    installation = [one for one in new if one["org"] == ""]
    assert [(one["facts"]["operation"], one["facts"]["status"], one["facts"]["problem"]) for one in mine] == [
        ("place_hold", 202, ""),
        ("get_job", 404, "not-found"),
        ("delete_org", 422, "refused"),
        ("put_retention", 422, "invalid"),
        ("put_retention", 412, "stale"),
        ("get_file", 404, "not-found"),
        ("pause_job", 403, "forbidden"),
        ("cancel_job", 401, "login-too-old"),
    ]
    assert Counter(one["facts"]["status"] for one in installation) == {405: 1, 404: 1, 401: 1}
    assert len(new) == 1 + sum(is_told(call.request.method, call.status_code) for call in calls)
    sealed = {value["field"]: value["value"] for value in mine[-1]["sealed"]}
    assert sealed["request"] == job
    assert sealed["principal"].startswith("p-")
    assert not any("no-such-job" in json.dumps(one["sealed"]) for one in new)  # what was typed may be anything
    assert not any(word in json.dumps([one["facts"] for one in new]) for word in (org, job, "case-1", "wrong"))


def test_what_the_audit_log_cannot_be_told_is_not_answered(
    world: World, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.calls.WRITTEN_S", 0.001)
    url = world.serve_another()

    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        refused = client.get(f"{B}/holds", params={"org": org})
        read = client.get("/healthz")

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:ebbtide:problem:unavailable")
    assert refused.headers["Cache-Control"] == "no-store"
    assert read.status_code == 200
