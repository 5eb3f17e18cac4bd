"""Schema ids from a registry: a real HTTP server that speaks the two calls, as Confluent's does."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ebbtide.registry import RegistryError, registry_ids, schema_text
from ebbtide.wire import HEADER, PUBLIC_IDS
from schemas.codec import INTERNAL_IDS, registered_codec


@dataclass
class Registry:
    url: str
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)
    refuse: bool = False


@pytest.fixture
def registry() -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.calls.append(self.path)
            state.headers.append(self.headers["Authorization"])
            subject = self.path.split("/")[2]
            key = (subject, body["schema"])
            if state.refuse:
                self.answer(409, {"error_code": 409, "message": "incompatible"})
            elif self.path.endswith("/versions"):
                self.answer(200, {"id": state.ids.setdefault(key, 1000 + len(state.ids))})
            elif key in state.ids:
                self.answer(200, {"subject": subject, "version": 1, "id": state.ids[key], "schema": body["schema"]})
            else:
                self.answer(404, {"error_code": 40401, "message": "subject not found"})

        def answer(self, status: int, body: dict[str, object]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Registry(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


EVENT = {"LifecycleEvent": schema_text("ebbtide", "LifecycleEvent")}


def test_what_is_not_there_is_registered_and_then_only_looked_up(registry: Registry) -> None:
    first = registry_ids(registry.url, EVENT)
    second = registry_ids(f"{registry.url}/", EVENT)

    assert first == second == {"LifecycleEvent": 1000}
    subject = "/subjects/ebbtide.v1.LifecycleEvent"
    assert registry.calls == [subject, f"{subject}/versions", subject]


def test_every_schema_is_read_and_written_under_the_registrys_ids(registry: Registry) -> None:
    codec = registered_codec(registry.url)

    value = codec.encode("Tick", {"now": 1, "approved": False})

    assert set(codec.ids) == {*PUBLIC_IDS, *INTERNAL_IDS}
    assert HEADER.unpack_from(value) == (0, codec.ids["Tick"])
    assert codec.ids["Tick"] >= 1000
    assert codec.decode(value) == ("Tick", {"now": 1, "approved": False})


def test_a_missing_schema_is_refused_where_we_may_not_register(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="does not have schema LifecycleEvent: register it"):
        registry_ids(registry.url, EVENT, register=False)

    assert registry.ids == {}


def test_a_refusal_names_the_schema_and_the_registrys_reason(registry: Registry) -> None:
    registry.refuse = True

    with pytest.raises(RegistryError, match=r"refused schema LifecycleEvent: HTTP 409: .*incompatible"):
        registry_ids(registry.url, EVENT)


def test_a_name_and_password_go_into_the_header_not_into_the_request(registry: Registry) -> None:
    registry_ids(registry.url.replace("http://", "http://me:p%40ss@"), EVENT)

    assert registry.headers[0] == "Basic " + base64.b64encode(b"me:p@ss").decode()


@pytest.mark.parametrize("url", ["", "localhost:8081", "file:///etc/passwd", "ftp://x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RegistryError, match="must be http://host:port or https://host:port"):
        registry_ids(url, EVENT)


def test_a_registry_that_is_not_there_is_said_so(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="did not answer for schema LifecycleEvent"):
        registry_ids("http://127.0.0.1:9", EVENT)
