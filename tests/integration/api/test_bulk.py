"""The file door over HTTP: all of a file or nothing of it, the same again is the same, and nothing is repeated."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import httpx2
import pytest

from ebbtide.envelope import open_subjects
from schemas.keys import sealing_private_key
from tests.integration.api.test_api import B, pointers, problem
from tests.integration.api.world import World
from tests.integration.engine import eventually

PATH = f"{B}/requests/bulk"
PEOPLE = [f"secret-{n}" for n in range(2_500)]
PLAIN = {"Content-Type": "text/plain"}


@pytest.fixture
def org(world: World) -> str:
    return world.new_org()


@pytest.fixture
def client(world: World, org: str) -> Iterator[httpx2.Client]:
    with world.owner(org) as made:
        yield made


def pieces(raw: bytes) -> Iterator[bytes]:
    for at in range(0, len(raw), 1_000):
        yield raw[at : at + 1_000]


def asked_for(world: World, org: str) -> list[list[str]]:
    key = sealing_private_key(world.settings.key("master_key"))
    records = world.stand_in.of(org, "erase")
    return [open_subjects(r["sealed"], key, org=org, request_id=r["request_id"]) for r in records]


def test_a_file_becomes_jobs_of_a_thousand_people_each_and_the_same_again_nothing_new(
    world: World, org: str, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    raw = "\r\n".join(["id", *PEOPLE, PEOPLE[0]]).encode()
    headers = {"Content-Type": "text/csv; header=present", "Idempotency-Key": "march"}
    query: dict[str, str | list[str]] = {"regime": "ccpa", "categories": ["messages", "logs"]}

    with caplog.at_level(logging.DEBUG):
        first = client.post(PATH, content=pieces(raw), headers=headers, params=query)
    again = client.post(PATH, content=raw, headers=headers, params=query)
    other = client.post(PATH, content=raw + b"\nu-1", headers=headers, params=query)

    body = first.json()
    assert first.status_code == 202, first.text
    assert (body["subjects"], [job["subjects"] for job in body["jobs"]]) == (2_500, [1_000, 1_000, 500])
    assert [job["state"] for job in body["jobs"]] == ["planning"] * 3
    assert client.get(body["jobs"][2]["href"]).json()["id"] == body["jobs"][2]["id"]
    assert again.json() == body
    problem(other, 422, "key-reused")
    assert [person for people in asked_for(world, org) for person in people] == PEOPLE
    assert json.loads(world.stand_in.of(org, "erase")[0]["body"]) == {
        "categories": ["messages", "logs"],
        "regime": "ccpa",
    }
    assert "secret" not in caplog.text + first.text


@pytest.mark.parametrize(
    ("media", "raw", "where"),
    [
        ("application/jsonl", b'"u-1"\n"u-2"\nsecret\n', "line 3"),
        ("text/csv", b"u-1\nsecret,x\n", "line 2"),
        ("text/plain", b"u-1\n" * 1_500 + b"secret" * 1_000, "line 1501"),
        ("text/plain", b"\n\n", ""),
        ("application/json", b'["secret"]', "#Content-Type"),
        ("text/csv; charset=utf-16", b"secret", "#Content-Type"),
    ],
)
def test_of_a_file_with_a_bad_line_nothing_is_sent(
    world: World, org: str, client: httpx2.Client, media: str, raw: bytes, where: str
) -> None:
    answer = client.post(PATH, content=raw, headers={"Content-Type": media})

    assert pointers(answer) == [where]
    assert "secret" not in answer.text
    assert world.stand_in.of(org, "erase") == []


def test_a_file_beyond_its_bounds_is_413_and_nothing_is_sent(world: World, org: str, client: httpx2.Client) -> None:
    large = client.post(PATH, content=(b"s" * 1_000 + b"\n" for _ in range(50_000)), headers=PLAIN)
    many = client.post(PATH, content="\n".join(str(n) for n in range(100_001)), headers=PLAIN)

    problem(large, 413, "too-large")
    assert "100000" in problem(many, 413, "too-large")["detail"]
    assert world.stand_in.of(org, "erase") == []


def test_one_file_of_a_principal_is_taken_at_a_time(world: World, org: str, client: httpx2.Client) -> None:
    answers: list[tuple[httpx2.Response, httpx2.Response]] = []

    def beside() -> bool:
        """Send a file and, before its last line, another; say whether the first was the one under way."""
        seconds: list[httpx2.Response] = []

        def body() -> Iterator[bytes]:
            yield b"u-1\n"
            seconds.append(client.post(PATH, content=b"u-3", headers=PLAIN))
            yield b"u-2\n"

        with world.client_with(client.headers["Authorization"]) as other:
            answers.append((other.post(PATH, content=body(), headers=PLAIN), seconds[0]))
        return seconds[0].status_code != 202

    # What is sent first may be taken up last: then the second came in between, and the first may be the one refused.
    eventually(beside, what="a second file while the first is under way")

    first, second = answers[-1]
    problem(second, 429, "too-many")
    assert (first.status_code, first.json()["subjects"]) == (202, 2)
    assert {(f.status_code, s.status_code) for f, s in answers[:-1]} <= {(202, 202), (429, 202)}
