"""Ids from bytes, however they come: each line is checked, and a bad one is named by its number alone."""

from __future__ import annotations

import pytest

from ops.subject_lines import MAX_LINE_BYTES, BadLine, SubjectLines, TooManySubjects


def read(raw: bytes, media: str = "text/plain", *, piece: int = 3, **how: object) -> list[str]:
    lines = SubjectLines(media, **how)  # type: ignore[arg-type]
    for at in range(0, len(raw), piece):
        lines.feed(raw[at : at + piece])
    return lines.end()


@pytest.mark.parametrize(
    ("raw", "media", "found"),
    [
        (b"u-1\nu-2\r\n\n  \nu-1\n\xc3\xbc", "text/plain", ["u-1", "u-2", "ü"]),
        (b"\xef\xbb\xbfu-1\n", "text/plain", ["u-1"]),
        (b'"a","b"\n', "text/plain", ['"a","b"']),
        (b'u-1\r\n"a ""b"", c"\r\n', "text/csv", ["u-1", 'a "b", c']),
        (b'"u-1"\n\n"\\u00fc\\n2"', "application/jsonl", ["u-1", "ü\n2"]),
        (b'"u-1"\n', "application/x-ndjson", ["u-1"]),
        (b"", "text/csv", []),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_a_line_is_an_id(raw: bytes, media: str, found: list[str], piece: int) -> None:
    assert read(raw, media, piece=piece) == found


def test_a_header_is_passed_over_where_there_is_one() -> None:
    assert read(b"id\nu-1\n", "text/csv", header=True) == ["u-1"]


@pytest.mark.parametrize(
    ("line", "media", "said"),
    [
        (b"secret\xff", "text/plain", "is no UTF-8"),
        (b"secret" * 300, "text/plain", "1800 bytes"),
        (b"secret" * 10_000, "text/plain", "more bytes than an id"),
        (b"secret,secret", "text/csv", "2 columns"),
        (b'"secret', "text/csv", "quote"),
        (b'"secret"x', "text/csv", "quote"),
        (b"secret", "application/jsonl", "is no JSON"),
        (b'["secret"]', "application/jsonl", "no JSON string"),
        (b'"\\ud800secret"', "application/jsonl", "UTF-8"),
        (b'""', "application/jsonl", "0 bytes"),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_never_by_what_is_in_it(line: bytes, media: str, said: str) -> None:
    good = b'"u-1"\n' if media == "application/jsonl" else b"u-1\n"

    with pytest.raises(BadLine, match=rf"line 3: .*{said}") as bad:
        read(good + b"\n" + line, media, piece=1000)

    assert "secret" not in str(bad.value)


def test_more_than_are_taken_end_it_and_the_same_one_again_does_not() -> None:
    assert read(b"a\nb\na\nb\n", most=2) == ["a", "b"]
    with pytest.raises(TooManySubjects, match="more than 2"):
        read(b"a\nb\nc\n", most=2)


def test_a_line_without_an_end_is_not_kept_until_it_comes() -> None:
    lines = SubjectLines()
    lines.feed(b"s" * MAX_LINE_BYTES)

    with pytest.raises(BadLine, match="line 1"):
        lines.feed(b"s")
