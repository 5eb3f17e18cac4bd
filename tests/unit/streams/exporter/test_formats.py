"""What JSON Lines and CSV promise: every value comes back, whatever it holds."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sinks.export import Json, Value, one_line, value_of
from streams.exporter.csvcells import plain
from streams.exporter.formats import Csv, JsonLines

texts = st.text(st.characters())
values: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.booleans(), texts, st.integers().map(value_of), st.lists(texts).map(value_of)
)
WIDE = "12345678901234567890.12345678901234567890"


@given(st.lists(values, min_size=3, max_size=3))
def test_a_json_line_is_one_line_and_says_every_value(row: list[Value]) -> None:
    line = JsonLines(("a", 'b"', "c\n")).line(row)

    assert line.count(b"\n") == 1
    assert list(json.loads(line).items()) == list(zip(("a", 'b"', "c\n"), map(parsed, row), strict=True))


@given(st.lists(st.one_of(st.none(), st.text()), min_size=2, max_size=2))
def test_a_csv_row_says_every_text(row: list[Value]) -> None:
    text = Csv(("a", "b")).line(row).decode()

    (found,) = csv.reader(io.StringIO(text, newline=""))

    assert text.endswith("\r\n")
    assert [plain(one) for one in found] == ["" if one is None else one for one in row]


def test_a_number_keeps_all_its_digits_in_both() -> None:
    line = JsonLines(("n",)).line([Json(WIDE)])

    assert json.loads(line, parse_float=Decimal) == {"n": Decimal(WIDE)}
    assert Csv(("n",)).line([Json(WIDE)]) == WIDE.encode() + b"\r\n"


def test_half_a_surrogate_pair_stays_the_escape_that_it_was() -> None:
    line = JsonLines(("a",)).line(["cut \ud83d"])

    assert json.loads(line) == {"a": "cut \ud83d"}
    assert Csv(("a",)).line(["cut \ud83d"]) == b'"cut \\ud83d"\r\n'


def test_a_value_that_json_has_not_is_text_in_a_documented_form() -> None:
    assert [value_of(v) for v in (float("nan"), float("-inf"), b"\x00\xff", 0.1)] == ["NaN", "-Infinity", "AP8=", "0.1"]


def test_json_on_several_lines_becomes_one() -> None:
    text = '{\r\n "a": "x\\ny"\n}'

    assert json.loads(one_line(text)) == json.loads(text)
    assert "\n" not in one_line(text)


def parsed(value: Value) -> object:
    return json.loads(value) if isinstance(value, Json) else value
