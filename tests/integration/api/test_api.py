"""What the API promises of its writes and reads, over HTTP, on real Kafka and PostgreSQL."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from ebbtide.envelope import is_signed, open_subjects, open_values, public_key_of
from ops.api.tokens import OWNER, READER
from schemas.keys import API, sealing_private_key
from tests.integration.api.world import World
from tests.integration.engine import eventually

B = "/api/v1/privacy"
PROBLEM = "urn:ebbtide:problem:"


RIGHT = {"type": "rectification", "subjects": ["u-1"], "values": {"messages": {"name": "Ada Byron"}}}


@pytest.fixture
def org(world: World) -> str:
    return world.new_org()


@pytest.fixture
def client(world: World, org: str) -> Iterator[httpx2.Client]:
    with world.owner(org) as made:
        yield made


@contextmanager
def silence(world: World) -> Iterator[None]:
    """Nobody decides meanwhile: the engine's coordinator is away."""
    world.stand_in.silent.set()
    try:
        yield
    finally:
        world.stand_in.silent.clear()


def problem(answer: httpx2.Response, status: int, name: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == (PROBLEM + name, status)
    return body


def pointers(answer: httpx2.Response) -> list[str]:
    return [error["pointer"] for error in problem(answer, 422, "invalid")["errors"]]


# --- writes are requests ---


def test_a_change_of_retention_is_a_signed_request_and_is_read_back_at_once(
    world: World, org: str, client: httpx2.Client
) -> None:
    before = client.get(f"{B}/retention").json()

    put = client.put(f"{B}/retention", json={"messages_days": 12, "settings": {"logs": {"period": "20 d"}}})

    (record,) = world.stand_in.of(org, "policy")
    assert record["key_id"] == API
    assert is_signed(record, public_key_of(world.settings.api_key()))
    assert json.loads(record["body"]) == {
        "settings": [{"category": "logs", "period": "20 d"}, {"category": "messages", "period": "12 d"}]
    }
    assert record["requested_by"].startswith("p-")
    assert (before["messages_days"], before["logs_days"], before["metrics_days"]) == (90, 30, None)
    assert put.status_code == 200
    assert (put.json()["messages_days"], put.json()["logs_days"], put.json()["version"]) == (12, 20, 1)
    got = client.get(f"{B}/retention")
    assert (got.json(), got.headers["ETag"]) == (put.json(), put.headers["ETag"])
    job = client.get(put.headers["Location"]).json()
    assert (job["kind"], job["state"], job["requested_by"]) == ("policy", "completed", record["requested_by"])
    (version,) = client.get(f"{B}/retention/history").json()["versions"]
    assert (version["version"], version["job"]) == (1, job["id"])


def test_an_answer_waits_for_all_that_was_written_with_the_state(world: World, org: str, client: httpx2.Client) -> None:
    world.stand_in.late_s = 1.5
    try:
        put = client.put(f"{B}/retention", json={"messages_days": 44})
    finally:
        world.stand_in.late_s = 0.0

    assert (put.status_code, put.json()["messages_days"]) == (200, 44)


def test_a_stale_tag_is_412_before_anything_is_written(world: World, org: str, client: httpx2.Client) -> None:
    tag = client.get(f"{B}/retention").headers["ETag"]
    changed = client.put(f"{B}/retention", json={"logs_days": 9}, headers={"If-Match": tag})
    written = len(world.stand_in.of(org, "policy"))

    stale = client.put(f"{B}/retention", json={"logs_days": 8}, headers={"If-Match": tag})

    problem(stale, 412, "stale")
    assert changed.status_code == 200
    assert len(world.stand_in.of(org, "policy")) == written == 1
    assert json.loads(world.stand_in.of(org, "policy")[0]["body"])["if_version"] == 0
    weak = client.put(f"{B}/retention", json={"logs_days": 8}, headers={"If-Match": "W/" + changed.headers["ETag"]})
    problem(weak, 412, "stale")
    listed = client.put(
        f"{B}/retention", json={"logs_days": 7}, headers={"If-Match": f'"x", {changed.headers["ETag"]}'}
    )
    assert listed.json()["logs_days"] == 7


def test_a_change_in_between_that_the_read_model_has_not_seen_is_412_too(
    world: World, org: str, client: httpx2.Client
) -> None:
    tag = client.get(f"{B}/retention").headers["ETag"]
    world.stand_in._versions[org] = 5  # somebody else's change, not projected yet

    problem(client.put(f"{B}/retention", json={"logs_days": 8}, headers={"If-Match": tag}), 412, "stale")


def test_people_travel_sealed_and_are_named_nowhere_else(
    world: World, org: str, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    people = ["jo@example.test", "u-2"]

    with caplog.at_level(logging.DEBUG):
        answer = client.post(f"{B}/requests", json={"type": "erasure", "subjects": people, "regime": "ccpa"})

    (record,) = world.stand_in.of(org, "erase")
    key = sealing_private_key(world.settings.key("master_key"))
    assert open_subjects(record["sealed"], key, org=org, request_id=record["request_id"]) == people
    assert b"jo@example" not in record["raw"]
    assert json.loads(record["body"]) == {"regime": "ccpa"}
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{B}/jobs/{record['request_id']}"
    assert (answer.json()["state"], answer.json()["detail"]) == ("planning", {"subjects": [1]})
    assert "jo@example" not in caplog.text


def test_what_is_right_travels_sealed_with_who_it_is_about(
    world: World, org: str, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"messages": {"name": "Ada Byron", "age": 36, "score": 1.5, "note": None}}

    with caplog.at_level(logging.DEBUG):
        answer = client.post(f"{B}/requests", json={**RIGHT, "values": values, "records": ["m-1"]})

    (record,) = world.stand_in.of(org, "rectify")
    key = sealing_private_key(world.settings.key("master_key"))
    assert open_values(record["sealed"], key, org=org, request_id=record["request_id"]) == (["u-1"], values)
    assert json.loads(record["body"]) == {"records": ["m-1"]}
    assert (answer.status_code, answer.json()["kind"]) == (202, "rectify")
    assert b"Byron" not in record["raw"]
    assert "Byron" not in caplog.text + answer.text


@pytest.mark.parametrize(
    ("path", "body", "kind", "sent"),
    [
        ("/retention/lock", {"until": "2030-01-02"}, "lock", {"until_day": 21916}),
        ("/retention/preview", {"as_of": "2030-01-02", "logs_days": 3}, "preview",
         {"as_of_day": 21916, "settings": [{"category": "logs", "period": "3 d"}]}),
        ("/delete", {"confirm_org_name": "Acme Boats", "delete_media": False, "grace_period_days": 0}, "delete",
         {"confirm_org_name": "Acme Boats", "delete_media": False, "grace_days": 0}),
        ("/holds", {"hold_id": "h-9", "categories": ["logs"], "grace_days": 5}, "hold",
         {"hold_id": "h-9", "categories": ["logs"], "grace_days": 5}),
    ],
    ids=["lock", "preview", "delete", "hold"],
)  # fmt: skip
def test_a_call_is_the_request_that_docs_requests_md_has(
    world: World, org: str, client: httpx2.Client, path: str, body: dict[str, Any], kind: str, sent: dict[str, Any]
) -> None:
    answer = client.post(B + path, json=body)

    (record,) = world.stand_in.of(org, kind)
    assert json.loads(record["body"]) == sent
    assert answer.status_code == (200 if kind == "preview" else 202)
    assert answer.json()["id"] == record["request_id"]


def test_a_hold_is_seen_at_once_and_released_by_its_id(world: World, org: str, client: httpx2.Client) -> None:
    placed = client.post(f"{B}/holds", json={"subjects": ["u-1"], "hold_id": "court-7"})

    (hold,) = client.get(f"{B}/holds").json()["holds"]
    assert (hold["id"], hold["state"], hold["subjects"], hold["job"]) == ("court-7", "in_force", 2, placed.json()["id"])
    released = client.post(f"{B}/holds/court-7/release")
    assert released.status_code == 202
    assert [h["state"] for h in client.get(f"{B}/holds").json()["holds"]] == ["released"]
    problem(client.post(f"{B}/holds/court-8/release"), 404, "not-found")


@pytest.mark.parametrize("move", ["cancel", "pause", "resume", "approve"])
def test_a_move_names_the_job_that_it_is_about(world: World, org: str, client: httpx2.Client, move: str) -> None:
    job = client.post(f"{B}/delete", json={"confirm_org_name": "Acme Boats"}).json()

    moved = client.post(f"{B}/jobs/{job['id']}/{move}")

    (record,) = world.stand_in.of(org, move)
    assert json.loads(record["body"]) == {"job": job["id"]}
    assert (moved.status_code, moved.json()["links"]["about"]) == (202, f"{B}/jobs/{job['id']}")
    assert moved.headers["Location"] == f"{B}/jobs/{record['request_id']}"


def test_an_approval_names_the_plan_that_was_seen(world: World, org: str, client: httpx2.Client) -> None:
    job = client.post(f"{B}/delete", json={"confirm_org_name": "Acme Boats"}).json()

    approved = client.post(f"{B}/jobs/{job['id']}/approve", json={"plan": "ab" * 32})

    (record,) = world.stand_in.of(org, "approve")
    assert json.loads(record["body"]) == {"job": job["id"], "plan": "ab" * 32}
    assert approved.status_code == 202
    problem(client.post(f"{B}/jobs/{job['id']}/approve", json={"plan": "x" * 65}), 422, "invalid")


def test_a_restore_names_the_deletion_that_it_ends_and_only_a_job_of_the_org(
    world: World, org: str, client: httpx2.Client
) -> None:
    job = client.post(f"{B}/delete", json={"confirm_org_name": "Acme Boats"}).json()

    restored = client.post(f"{B}/restore", json={"job": job["id"]})

    (record,) = world.stand_in.of(org, "restore")
    assert json.loads(record["body"]) == {"job": job["id"]}
    assert (restored.status_code, restored.json()["links"]["about"]) == (202, f"{B}/jobs/{job['id']}")
    assert restored.json()["kind"] == "restore"
    problem(client.post(f"{B}/restore", json={"job": "nobody's"}), 422, "invalid")
    problem(client.post(f"{B}/restore", json={"job": "nothing"}), 404, "not-found")


def test_a_wrong_name_is_refused_with_its_reason_and_its_job(client: httpx2.Client) -> None:
    refused = problem(client.post(f"{B}/delete", json={"confirm_org_name": "Acme Bats"}), 422, "refused")

    assert refused["reason"] == "wrong_org_name"
    job = client.get(f"{B}/jobs/{refused['job']}").json()
    assert (job["state"], job["error"]["code"], bool(job["error"]["next_step"])) == ("refused", "wrong_org_name", True)


def test_without_a_coordinator_a_write_is_requested_and_goes_on_by_itself(world: World, org: str) -> None:
    impatient = world.serve_another(api_wait_s=0.3)
    with world.owner(org) as client, silence(world):
        client.base_url = httpx2.URL(impatient)
        answer = client.put(f"{B}/retention", json={"messages_days": 5})

    assert (answer.status_code, answer.json()["state"]) == (202, "requested")
    with world.owner(org) as client:
        eventually(lambda: client.get(answer.headers["Location"]).status_code == 200, what="the job")
        assert client.get(f"{B}/retention").json()["messages_days"] == 5


# --- Idempotency-Key ---


def test_the_same_call_under_one_key_is_one_job(world: World, org: str, client: httpx2.Client) -> None:
    ask = {"type": "erasure", "subjects": ["u-1"]}

    first = client.post(f"{B}/requests", json=ask, headers={"Idempotency-Key": "abc"})
    again = client.post(f"{B}/requests", json=ask, headers={"Idempotency-Key": "abc"})
    other = client.post(f"{B}/requests", json=ask, headers={"Idempotency-Key": "abd"})

    assert first.json() == again.json()
    assert other.json()["id"] != first.json()["id"]
    assert [r["request_id"] for r in world.stand_in.of(org, "erase")] == [first.json()["id"], other.json()["id"]]


def test_a_key_stands_for_one_call_of_one_principal(world: World, org: str, client: httpx2.Client) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = client.post(f"{B}/requests", json={"type": "erasure", "subjects": ["u-1"]}, headers=key)

    problem(client.post(f"{B}/requests", json={"type": "erasure", "subjects": ["u-2"]}, headers=key), 422, "key-reused")
    problem(client.put(f"{B}/retention", json={"logs_days": 4}, headers=key), 422, "key-reused")
    with world.owner(org) as somebody_else:
        theirs = somebody_else.post(f"{B}/requests", json={"type": "erasure", "subjects": ["u-3"]}, headers=key)
    assert theirs.json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/jobs/{job}/deny", {"reason": "no_match"}, {"reason": "other"}),
        ("/jobs/{job}/extend", {"reason": "complexity"}, {"reason": "number_of_requests"}),
        ("/restore", {"job": "{job}"}, {"job": "{another}"}),
        ("/export", {"format": "csv"}, {"format": "json"}),
        ("/retention/lock", {"until": "2090-01-01"}, {"until": "2091-01-01"}),
        ("/holds", {"hold_id": "h-1"}, {"hold_id": "h-2"}),
    ],
    ids=["deny", "extend", "restore", "export", "lock", "hold"],
)
def test_every_post_is_one_job_under_one_key_and_refuses_another_body(
    world: World, org: str, client: httpx2.Client, path: str, body: dict[str, str], other: dict[str, str]
) -> None:
    people = {"type": "erasure", "subjects": ["u-1"]}
    jobs = {name: client.post(f"{B}/requests", json=people).json()["id"] for name in ("job", "another")}
    body, other = ({name: text.format(**jobs) for name, text in said.items()} for said in (body, other))
    url, key = B + path.format(**jobs), {"Idempotency-Key": "one"}

    first = client.post(url, json=body, headers=key)
    again = client.post(url, json=body, headers=key)
    different = client.post(url, json=other, headers=key)

    assert first.status_code == again.status_code == 202, first.text
    assert first.json() == again.json()
    problem(different, 422, "key-reused")
    kinds = {record["request_id"]: record["kind"] for record in world.stand_in.seen if record["org"] == org}
    assert set(kinds) == {*jobs.values(), first.json()["id"]}


def test_two_calls_under_one_key_at_once_are_one_job(world: World, org: str, client: httpx2.Client) -> None:
    answers: list[httpx2.Response] = []
    body = {"confirm_org_name": "Acme Boats"}

    def ask() -> None:
        answers.append(client.post(f"{B}/delete", json=body, headers={"Idempotency-Key": "twice"}))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize("key", ["x" * 256, "caf\u00e9", ""])
def test_a_key_that_is_none_is_refused_by_name(client: httpx2.Client, key: str) -> None:
    answer = client.post(f"{B}/retention/preview", json={}, headers=[(b"Idempotency-Key", key.encode())])

    assert pointers(answer) == ["#Idempotency-Key"]


# --- bad input ---


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("PUT", "/retention", {"messages_days": 0}, "/messages_days"),
        ("PUT", "/retention", {"messages_days": 3651}, "/messages_days"),
        ("PUT", "/retention", {"logs_days": "30"}, "/logs_days"),
        ("PUT", "/retention", {"logs_days": True}, "/logs_days"),
        ("PUT", "/retention", {"metrics_days": 1.5}, "/metrics_days"),
        ("PUT", "/retention", {"message_days": 30}, "/message_days"),
        ("PUT", "/retention", {"settings": {"nothing.such": {"period": "3 d"}}}, "/settings/nothing.such"),
        ("PUT", "/retention", {"settings": {"logs": {"period": "soon"}}}, "/settings/logs"),
        ("PUT", "/retention", {"settings": {"logs": {"action": "archive"}}}, "/settings/logs"),
        ("PUT", "/retention", {"settings": {"logs": {"perod": "3 d"}}}, "/settings/logs/perod"),
        ("PUT", "/retention", {"settings": {"logs": {"period": "4000 d"}}}, "/settings/logs"),
        ("PUT", "/retention", {"logs_days": 3, "settings": {"logs": {"period": "4 d"}}}, "/settings/logs"),
        ("PUT", "/retention", {"template": "nothing"}, "/template"),
        ("PUT", "/retention", {}, ""),
        ("PUT", "/retention", [], ""),
        ("POST", "/delete", {"confirm_org_name": "Acme Boats", "grace_period_days": 31}, "/grace_period_days"),
        ("POST", "/delete", {"confirm_org_name": "Acme Boats", "grace_period_days": -1}, "/grace_period_days"),
        ("POST", "/delete", {"confirm_org_name": 7}, "/confirm_org_name"),
        ("POST", "/delete", {}, "/confirm_org_name"),
        ("POST", "/requests", {"type": "erasure", "subjects": []}, "/subjects"),
        ("POST", "/requests", {"type": "erasure", "subjects": ["x" * 10_000]}, "/subjects/0"),
        ("POST", "/requests", {"type": "erasure", "subjects": [f"u-{i}" for i in range(10_000)]}, "/subjects"),
        ("POST", "/requests", {"type": "erasure", "subjects": "u-1"}, "/subjects"),
        ("POST", "/requests", {"type": "export", "subjects": ["u-1"]}, "/type"),
        ("POST", "/requests", {"type": "erasure", "subjects": ["u-1"], "values": {"m": {"f": "x"}}}, "/values"),
        ("POST", "/requests", {"type": "rectification", "subjects": ["u-1"]}, "/values"),
        ("POST", "/requests", {"type": "restriction", "subjects": ["u-1"], "records": ["m-1"]}, "/records"),
        ("POST", "/requests", {**RIGHT, "values": {}}, "/values"),
        ("POST", "/requests", {**RIGHT, "values": {"messages": {}}}, "/values/messages"),
        ("POST", "/requests", {**RIGHT, "values": {"messages": {"name": "x" * 10_000}}}, "/values/messages/name"),
        ("POST", "/requests", {**RIGHT, "values": {"messages": {"name": ["x"]}}}, "/values/messages/name"),
        ("POST", "/requests", {**RIGHT, "categories": ["messages"]}, "/categories"),
        ("POST", "/delete", {"confirm_org_name": "Acme Boats", "keep": True}, "/keep"),
        ("POST", "/export", {"subjects": ["x" * 10_000]}, "/subjects/0"),
        ("POST", "/export", {"subjects": [f"u-{i}" for i in range(10_000)]}, "/subjects"),
        ("POST", "/restore", {"job": "no job"}, "/job"),
        ("POST", "/restore", {}, "/job"),
        ("POST", "/holds", {"hold_id": "a/b"}, "/hold_id"),
        ("POST", "/holds", {"grace_days": 366}, "/grace_days"),
        ("POST", "/retention/lock", {"until": "tomorrow"}, "/until"),
        ("POST", "/retention/preview", {"template": "soc2"}, "/template"),
        ("GET", "/jobs?sate=running", None, "?sate"),
        ("GET", "/jobs?state=nowhere", None, "?state"),
        ("GET", "/jobs?limit=0", None, "?limit"),
        ("GET", "/jobs?cursor=x", None, "?cursor"),
        ("GET", "/holds?cursor=WzFd", None, "?cursor"),
        ("GET", "/jobs?org=a&org=b", None, "?org"),
    ],
)  # fmt: skip
def test_bad_input_is_422_and_named(
    world: World, org: str, client: httpx2.Client, method: str, path: str, body: Any, named: str
) -> None:
    before = len(world.stand_in.seen)

    answer = client.request(method, B + path, json=body)

    assert pointers(answer)[:1] == [named]
    assert not [record for record in world.stand_in.seen[before:] if record["org"] == org]


@pytest.mark.parametrize("body", [b"{", b"", b'{"messages_days": NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_422(client: httpx2.Client, body: bytes) -> None:
    answer = client.put(f"{B}/retention", content=body, headers={"Content-Type": "application/json"})

    problem(answer, 422, "invalid")


def test_no_value_is_ever_repeated(client: httpx2.Client) -> None:
    secret = "jo.smith@example.test"

    answers = [
        client.post(f"{B}/requests", json={"type": secret, "subjects": [secret * 100, ""], secret[:2]: secret}),
        client.post(f"{B}/requests", content=f'{{"subjects": {secret}}}', headers={"Content-Type": "application/json"}),
        client.post(f"{B}/delete", json={"confirm_org_name": {"x": secret}}),
        client.get(f"{B}/jobs/{secret}"),
        client.get(f"{B}/{secret}"),
    ]

    assert all(answer.status_code in (404, 422) for answer in answers)
    assert not [answer.text for answer in answers if secret in answer.text]


@pytest.mark.parametrize("job", ["nothing", "..%2f..", "a b", "x" * 500, "%00", "'; drop table ebbtide.privacy_jobs"])
def test_an_id_that_is_no_job_is_404(client: httpx2.Client, job: str) -> None:
    for path in ("", "/events"):
        problem(client.get(f"{B}/jobs/{job}{path}"), 404, "not-found")
    problem(client.get(f"{B}/jobs/{job}/files/0"), 404, "not-found")
    problem(client.post(f"{B}/jobs/{job}/cancel"), 404, "not-found")
    problem(client.post(f"{B}/jobs/{job}/deny", json={"reason": "no_match"}), 404, "not-found")
    problem(client.post(f"{B}/jobs/{job}/extend", json={"reason": "complexity"}), 404, "not-found")


def test_another_org_s_job_and_hold_are_as_if_they_were_not_there(
    world: World, org: str, client: httpx2.Client
) -> None:
    job = client.post(f"{B}/holds", json={"hold_id": "theirs"}).json()["id"]

    with world.owner(world.new_org()) as other:
        answers = [
            other.get(f"{B}/jobs/{job}"),
            other.get(f"{B}/jobs/{job}", params={"org": org}),
            other.get(f"{B}/jobs/no-such-job"),
            other.post(f"{B}/jobs/{job}/cancel"),
            other.post(f"{B}/holds/theirs/release"),
        ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_a_token_for_several_orgs_must_say_which(world: World, org: str) -> None:
    with world.client({org: OWNER, world.new_org(): READER}) as client:
        missing, named = client.get(f"{B}/jobs"), client.get(f"{B}/jobs", params={"org": org})

    assert pointers(missing) == ["?org"]
    assert named.status_code == 200


def raw(world: World, head: str, chunks: Iterator[bytes]) -> bytes:
    """Send bytes by hand, as much as is taken; return the answer."""
    host, port = world.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode())
        try:
            for chunk in chunks:
                connection.sendall(chunk)
        except OSError:
            pass  # it has stopped listening, and has answered
        found = b""
        while b"\r\n\r\n" not in found and (more := connection.recv(65536)):
            found += more
        return found


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_a_body_of_50_mb_is_413_and_not_read(world: World, client: httpx2.Client, how: str) -> None:
    size, piece = 50 << 20, b"x" * 65536
    head = (
        f"PUT {B}/retention HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['Authorization']}\r\n"
        "Content-Type: application/json\r\n"
    )
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(size // len(piece)):
            sent += len(piece)
            yield piece if how == "length" else b"10000\r\n" + piece + b"\r\n"

    framing = f"Content-Length: {size}\r\n\r\n" if how == "length" else "Transfer-Encoding: chunked\r\n\r\n"

    answer = raw(world, head + framing, chunks())

    assert answer.startswith(b"HTTP/1.1 413 ") or sent < size
    small = client.put(f"{B}/retention", content=b" " * ((1 << 20) + 1), headers={"Content-Type": "application/json"})
    problem(small, 413, "too-large")


def test_who_is_not_let_in_is_answered_before_the_body_is_read(world: World) -> None:
    head = f"PUT {B}/retention HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"

    assert raw(world, head, iter([])).startswith(b"HTTP/1.1 401 ")


# --- reads ---


def test_jobs_are_paged_and_filtered(client: httpx2.Client) -> None:
    made = [client.post(f"{B}/retention/preview", json={}).json()["id"] for _ in range(5)]
    client.post(f"{B}/holds", json={"hold_id": "h"})

    pages, cursor = [], None
    while True:
        query = {"kind": "preview", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"{B}/jobs", params=query).json()
        pages.append([job["id"] for job in page["jobs"]])
        cursor = page["next"]
        if cursor is None:
            break

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job for page in pages for job in page] == made[::-1]
    assert [j["kind"] for j in client.get(f"{B}/jobs", params={"kind": ["hold", "lock"]}).json()["jobs"]] == ["hold"]
    assert client.get(f"{B}/jobs", params={"state": "failed"}).json() == {"jobs": [], "next": None}


def test_a_job_shows_its_parts_and_sums_them_up(world: World, org: str, client: httpx2.Client) -> None:
    job = client.post(f"{B}/requests", json={"type": "erasure", "subjects": ["u-1"]}).json()["id"]
    parts = [
        {"partition": p, "target": t, "due": 10, "done": p, "changed": p, "withheld": 0, "failed": 0}
        for p, t in ((0, "crm"), (1, "crm"), (2, "feed"))
    ]

    world.stand_in.tell(org, job, state="awaiting_acks", parts=parts)

    eventually(lambda: client.get(f"{B}/jobs/{job}").json()["state"] == "awaiting_acks", what="the next state")
    shown = client.get(f"{B}/jobs/{job}").json()
    assert (shown["due"], shown["done"]) == (30, 3)
    assert [(t["target"], t["due"], t["done"]) for t in shown["targets"]] == [("crm", 20, 1), ("feed", 10, 2)]
    assert [(p["target"], p["partition"]) for p in shown["parts"]] == [("crm", 0), ("crm", 1), ("feed", 2)]


def test_events_tell_each_state_until_the_job_has_ended(world: World, org: str, client: httpx2.Client) -> None:
    job = client.post(f"{B}/requests", json={"type": "erasure", "subjects": ["u-1"]}).json()["id"]
    states: list[str] = []

    with client.stream("GET", f"{B}/jobs/{job}/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                states.append(json.loads(line[6:])["state"])
                following = {1: "running", 2: "completed"}.get(len(states))
                if following:
                    world.stand_in.tell(org, job, state=following)

    assert states == ["planning", "running", "completed"]
    with client.stream("GET", f"{B}/jobs/{job}/events", headers={"Last-Event-ID": "3"}) as stream:
        assert [line for line in stream.iter_lines() if line.startswith("data: ")] == []


def test_a_stream_is_not_open_for_longer_than_its_token(world: World, org: str, client: httpx2.Client) -> None:
    job = client.post(f"{B}/delete", json={"confirm_org_name": "Acme Boats"}).json()["id"]

    with (
        world.client({org: READER}, minutes=1 / 60) as reader,
        reader.stream("GET", f"{B}/jobs/{job}/events") as stream,
    ):
        assert sum(line.startswith("data: ") for line in stream.iter_lines()) == 1


def test_a_principal_has_so_many_streams_and_calls(world: World, org: str, client: httpx2.Client) -> None:
    job = client.post(f"{B}/delete", json={"confirm_org_name": "Acme Boats"}).json()["id"]
    streams = [client.send(client.build_request("GET", f"{B}/jobs/{job}/events"), stream=True) for _ in range(10)]

    eleventh = client.get(f"{B}/jobs/{job}/events")
    for stream in streams:
        stream.close()

    assert problem(eleventh, 429, "too-many")
    refused = next(a for _ in range(500) if (a := client.get(f"{B}/retention")).status_code == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    with world.owner(org) as somebody_else:
        assert somebody_else.get(f"{B}/retention").status_code == 200


def test_answers_are_careful_and_logs_say_no_ids(
    client: httpx2.Client, org: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answers = [
            client.get(f"{B}/jobs/secret-job", params={"org": org, "cursor": "secret-cursor"}),
            client.get("/secret-path"),
            client.delete(f"{B}/retention"),
            client.options(f"{B}/retention", headers={"Origin": "https://evil.test"}),
        ]

    assert [answer.status_code for answer in answers] == [422, 404, 405, 405]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
        assert answer.headers["Content-Type"] == "application/problem+json"
    ours = [record for record in caplog.records if record.name.startswith("ops.api")]
    eventually(lambda: len([r for r in caplog.records if r.name == "ops.api.edge"]) >= 4, what="the log lines")
    assert not [r for r in ours if "secret" in str(vars(r)) or org in str(vars(r))]
    assert {vars(r).get("route") for r in caplog.records if r.name == "ops.api.edge"} >= {f"{B}/jobs/{{job}}", "-"}


def test_a_dead_database_is_503_and_nothing_of_it_is_told(world: World, org: str) -> None:
    url = world.serve_another(read_model_dsn="postgresql://someone:secret@127.0.0.1:1/nowhere")

    with world.owner(org) as client:
        client.base_url = httpx2.URL(url)
        began = time.monotonic()
        answers = [client.get(f"{B}/jobs"), client.get("/readyz")]
        alive = client.get("/healthz")

    for answer in answers:
        problem(answer, 503, "unavailable")
        assert "secret" not in answer.text
        assert "Retry-After" in answer.headers
    assert alive.status_code == 200
    assert time.monotonic() - began < 40
