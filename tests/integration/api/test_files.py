"""Files of an export over HTTP: handed out to owners alone, by a short link, each time recorded, and for a day."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import httpx2
import psycopg
import pytest

from ebbtide.envelope import open_subjects
from ops.api.tokens import OWNER, READER
from ops.local.s3 import s3_client
from ops.local.service import S3Server
from schemas.keys import sealing_private_key
from tests.integration.api.test_api import B, problem
from tests.integration.api.world import World
from tests.integration.engine import eventually

DAY_MS = 86_400_000


@pytest.fixture
def org(world: World) -> str:
    return world.new_org()


@pytest.fixture
def client(world: World, org: str) -> Iterator[httpx2.Client]:
    with world.owner(org) as made:
        yield made


@pytest.fixture
def put(s3: S3Server, prefix: str) -> Any:
    """Put an object and return it as a manifest's answer lists files."""
    bucket = s3_client(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region)

    def put_file(name: str, body: bytes, form: str = "json") -> dict[str, Any]:
        key = f"{prefix}/{name}"
        said = bucket.put_object(Bucket=s3.bucket, Key=key, Body=body)
        digest = hashlib.sha256(body).hexdigest()
        file = {"key": key, "version": said["VersionId"], "name": name, "bytes": len(body), "sha256": digest}
        return file | {"format": form, "rows": 1}

    return put_file


def finish(world: World, org: str, client: httpx2.Client, put: Any, *, ends_in_ms: int = DAY_MS, more: int = 0) -> str:
    """Ask for an export and let it be done; `more` files are in its manifest alone. Return the job's id."""
    asked = client.post(f"{B}/export", json={"format": "both"})
    assert asked.status_code == 202, asked.text
    job: str = asked.json()["id"]
    files = [put("messages/a.jsonl.gz", b"first"), put("media/b.zip", b"second", "zip")]
    names = [*files, *(put(f"messages/{n}.jsonl.gz", b"more %d" % n) for n in range(more))]
    manifest = put("manifest.json", json.dumps({"files": [{"name": file["name"]} for file in names]}).encode())
    detail = {
        "format": "both",
        "bucket": "secret-name",
        "prefix": files[0]["key"].removesuffix("messages/a.jsonl.gz"),
        "manifest": manifest | {"format": "manifest"},
        "files": files,
        "files_total": len(names),
        "links_end_at": time.time_ns() // 1_000_000 + ends_in_ms,
    }
    world.stand_in.tell(org, job, state="completed", detail=detail)
    eventually(lambda: client.get(f"{B}/jobs/{job}").json()["state"] == "completed")
    return job


def read(link: str) -> bytes:
    with urlopen(link, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def test_an_export_is_asked_for_with_what_it_is_to_hold(world: World, org: str, client: httpx2.Client) -> None:
    answer = client.post(f"{B}/export", json={"format": "csv", "include_media": False, "subjects": ["u-1", "u-2"]})

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{B}/jobs/{answer.json()['id']}"
    (record,) = world.stand_in.of(org, "export")
    assert json.loads(record["body"]) == {"format": "csv", "include_media": False}
    key = sealing_private_key(bytes.fromhex(world.settings.master_key))
    assert open_subjects(record["sealed"], key, org=org, request_id=record["request_id"]) == ["u-1", "u-2"]
    assert answer.json()["files"] == []


@pytest.mark.parametrize("body", [{"format": "xml"}, {"include_media": "no"}, {"subjects": []}, {"formats": ["csv"]}])
def test_what_is_asked_wrongly_is_refused_by_name(client: httpx2.Client, body: Mapping[str, Any]) -> None:
    assert len(problem(client.post(f"{B}/export", json=body), 422, "invalid")["errors"]) == 1


def test_a_job_shows_its_files_and_nothing_of_where_they_lie(
    world: World, org: str, client: httpx2.Client, put: Any
) -> None:
    job = finish(world, org, client, put)

    shown = client.get(f"{B}/jobs/{job}")
    (listed,) = client.get(f"{B}/jobs", params={"kind": "export"}).json()["jobs"]

    files = shown.json()["files"]
    assert [(file["name"], file["href"]) for file in files] == [
        (name, f"{B}/jobs/{job}/files/{number}")
        for number, name in enumerate(["manifest.json", "messages/a.jsonl.gz", "media/b.zip"])
    ]
    assert files[1]["sha256"] == hashlib.sha256(b"first").hexdigest()
    assert shown.json()["detail"]["files_total"] == 2
    assert (listed["files"], listed["hand_outs"], listed["detail"]["files_total"]) == (None, None, 2)
    assert "secret-name" not in shown.text + json.dumps(listed)
    assert put("x", b"")["key"].removesuffix("/x") not in shown.text


def test_a_file_is_a_short_link_that_gives_its_bytes_and_is_recorded(
    world: World, org: str, client: httpx2.Client, put: Any
) -> None:
    job = finish(world, org, client, put)

    first, second = client.get(f"{B}/jobs/{job}/files/1"), client.get(f"{B}/jobs/{job}/files/2")
    with world.owner(org) as other:
        again = other.get(f"{B}/jobs/{job}/files/1")
        shown = other.get(f"{B}/jobs/{job}").json()["hand_outs"]

    assert [answer.status_code for answer in (first, second, again)] == [302] * 3
    assert first.headers["Cache-Control"] == "no-store"
    assert (read(first.headers["Location"]), read(second.headers["Location"])) == (b"first", b"second")
    query = parse_qs(urlsplit(first.headers["Location"]).query)
    assert int(query["X-Amz-Expires"][0]) <= 60
    assert "versionId" in query
    assert [(one["file"], one["name"]) for one in shown] == [
        (1, "messages/a.jsonl.gz"), (2, "media/b.zip"), (1, "messages/a.jsonl.gz")
    ]  # fmt: skip
    assert shown[0]["principal"] == shown[1]["principal"] != shown[2]["principal"]
    assert all(one["principal"].startswith("p-") for one in shown)
    assert abs(shown[0]["at"] - time.time() * 1000) < 600_000


def test_files_that_the_job_does_not_list_are_found_by_the_manifest(
    world: World, org: str, client: httpx2.Client, put: Any
) -> None:
    job = finish(world, org, client, put, more=2)

    link = client.get(f"{B}/jobs/{job}/files/4")
    beyond = client.get(f"{B}/jobs/{job}/files/5")

    assert read(link.headers["Location"]) == b"more 1"
    problem(beyond, 404, "not-found")


def test_when_its_time_is_over_a_file_is_handed_out_no_longer_and_nothing_is_recorded(
    world: World, org: str, client: httpx2.Client, put: Any
) -> None:
    job = finish(world, org, client, put, ends_in_ms=-1)

    late = client.get(f"{B}/jobs/{job}/files/1")
    world.stand_in.tell(org, job, detail={"links_end_at": 1, "deleted": {"versions": 3}})
    eventually(lambda: client.get(f"{B}/jobs/{job}").json()["files"] == [])
    gone = client.get(f"{B}/jobs/{job}/files/1")

    problem(late, 403, "expired-link")
    problem(gone, 403, "expired-link")
    assert client.get(f"{B}/jobs/{job}").json()["hand_outs"] == []


@pytest.mark.parametrize("number", ["3", "-1", "01x", "99999999999", "manifest.json"])
def test_a_file_that_is_none_is_not_found(world: World, org: str, client: httpx2.Client, put: Any, number: str) -> None:
    job = finish(world, org, client, put)

    problem(client.get(f"{B}/jobs/{job}/files/{number}"), 404, "not-found")


def test_a_job_that_is_no_export_or_not_done_has_no_files(world: World, org: str, client: httpx2.Client) -> None:
    running = client.post(f"{B}/export", json={}).json()["id"]
    hold = client.post(f"{B}/holds", json={}).json()["id"]

    for job in (running, hold):
        problem(client.get(f"{B}/jobs/{job}/files/0"), 404, "not-found")


def test_a_file_is_its_owners_alone(world: World, org: str, client: httpx2.Client, put: Any) -> None:
    job = finish(world, org, client, put)
    other = world.new_org()

    with world.client({org: READER}) as reader, world.client({other: OWNER}) as foreign:
        problem(reader.get(f"{B}/jobs/{job}/files/1"), 403, "forbidden")
        problem(foreign.get(f"{B}/jobs/{job}/files/1"), 404, "not-found")
        problem(foreign.get(f"{B}/jobs/{job}/files/1", params={"org": org}), 404, "not-found")

    assert client.get(f"{B}/jobs/{job}").json()["hand_outs"] == []


def test_what_cannot_be_recorded_is_not_handed_out(world: World, org: str, client: httpx2.Client, put: Any) -> None:
    job = finish(world, org, client, put)
    with psycopg.connect(world.settings.model_dsn) as connection:
        connection.execute("LOCK TABLE ebbtide.hand_outs IN EXCLUSIVE MODE")

        answer = client.get(f"{B}/jobs/{job}/files/1")

    problem(answer, 503, "unavailable")
    assert "Location" not in answer.headers
