"""What a manifest promises: an archive that is not whole is never called one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from schemas.codec import full_codec
from streams.exporter.manifest import MOST_LISTED, Archive, File, Part, PartsMissing, complete, manifest_body


def file(name: str, form: str = "json", rows: int = 2, version: str = "v1") -> File:
    return File(key=f"f/{name}", version=version, name=name, bytes=10, sha256="00" * 32, format=form, rows=rows)


def part(partition: int, seq: int, *, last: bool = False, missing: int = 0) -> Part:
    return Part(
        partition=partition,
        seq=seq,
        last=last,
        category="messages",
        target="crm",
        records=2 + missing,
        rows=2,
        missing={"not_found": missing} if missing else {},
        files=(file(f"messages/crm-{partition}-{seq}.jsonl.gz"),),
    )


WHOLE = [part(1, 1, last=True, missing=3), part(0, 0, last=True), part(1, 0)]


def test_a_whole_archive_is_put_in_order() -> None:
    assert [(p.partition, p.seq) for p in complete(WHOLE, {0: 1, 1: 2})] == [(0, 0), (1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("parts", "expect"),
    [
        (WHOLE[1:], {0: 1, 1: 2}),
        (WHOLE[:2], {0: 1, 1: 2}),
        (WHOLE, {0: 1, 1: 1}),
        (WHOLE, {0: 1}),
        (WHOLE, {0: 1, 1: 2, 2: 1}),
        ([replace(p, last=False) for p in WHOLE], {0: 1, 1: 2}),
        ([], {}),
        ([], {0: 0}),
    ],
)
def test_an_archive_that_is_not_as_announced_is_refused(parts: list[Part], expect: dict[int, int]) -> None:
    with pytest.raises(PartsMissing, match="partition"):
        complete(parts, expect)


def test_a_part_comes_back_from_its_record() -> None:
    codec = full_codec()
    record = codec.decode(codec.encode("ExportPart", WHOLE[0].record("r-1", "acme")))[1]

    assert Part.of(record, "f/") == WHOLE[0]


def test_the_manifest_counts_what_is_there_and_what_is_not() -> None:
    archive = Archive(parts=complete(WHOLE, {0: 1, 1: 2}))

    said = json.loads(archive.text("r-1", "acme"))

    assert said["counts"]["records"] == 9
    assert (said["counts"]["rows"], said["counts"]["missing"]) == (6, 3)
    assert said["counts"]["by"] == [
        {"category": "messages", "target": "crm", "parts": 3, "records": 9, "rows": 6, "missing": 3}
    ]
    assert said["reasons"] == {"not_found": 3}
    assert [f["name"] for f in said["files"]] == [f"messages/crm-{p}-{s}.jsonl.gz" for p, s in ((0, 0), (1, 0), (1, 1))]


def test_two_runs_write_the_same_manifest_though_versions_differ() -> None:
    other = [replace(p, files=tuple(replace(f, version="another") for f in p.files)) for p in WHOLE]

    texts = {Archive(parts=complete(parts, {0: 1, 1: 2})).text("r-1", "acme") for parts in (WHOLE, other)}

    assert len(texts) == 1


def test_an_answer_stays_small_and_says_how_many_files_there_are() -> None:
    files = [file(str(n)) for n in range(MOST_LISTED + 5)]

    body = manifest_body(Archive(parts=WHOLE), bucket="b", folder="f/", manifest=file("m"), files=files)

    assert len(body["files"]) == MOST_LISTED
    assert body["files_total"] == MOST_LISTED + 5
