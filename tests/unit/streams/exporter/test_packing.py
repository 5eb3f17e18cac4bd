"""What packing promises: every tool opens it, and the same input gives the same bytes."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator

from sinks.export import Blob
from streams.exporter.packing import Lines, Objects

BODY = bytes(range(256)) * 5000


class Buffer:
    """Takes bytes, and cannot go back."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None: ...


def packed(ids: list[str]) -> bytes:
    out = Buffer()
    objects = Objects(out)
    for n, record_id in enumerate(ids):
        objects.add(blob(n, f"dir/{record_id}.png"), record_id)
    objects.finish()
    return out.data


def blob(index: int, name: str) -> Blob:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(BODY), 70_000):
            yield BODY[start : start + 70_000]

    return Blob(
        index=index,
        name=name,
        key=f"k/{name}",
        size=len(BODY),
        content_type="image/png",
        metadata={"b": "2", "a": "1"},
        chunks=chunks(),
    )


def test_lines_are_a_gzip_file_without_a_name_or_a_time() -> None:
    outputs = [Buffer(), Buffer()]
    for out in outputs:
        lines = Lines(out)
        for n in range(100_000):
            lines.write(b"line %d\n" % n)
        lines.finish()

    assert gzip.decompress(outputs[0].data) == b"".join(b"line %d\n" % n for n in range(100_000))
    assert outputs[0].data == outputs[1].data
    assert outputs[0].data[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_objects_are_a_zip_with_an_index() -> None:
    with zipfile.ZipFile(io.BytesIO(packed(["../../etc/passwd", "8"]))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["000000-dir_.._.._etc_passwd.png", "000001-dir_8.png", "index.jsonl"]
        assert archive.read("000001-dir_8.png") == BODY
        index = [json.loads(line) for line in archive.read("index.jsonl").splitlines()]

    assert [entry["record_id"] for entry in index] == ["../../etc/passwd", "8"]
    assert index[0]["bytes"] == len(BODY)
    assert index[0]["metadata"] == {"a": "1", "b": "2"}


def test_the_same_objects_give_the_same_bytes() -> None:
    assert packed(["1", "2"]) == packed(["1", "2"])
