"""What CSV cells promise: no spreadsheet runs them, and the text comes back whole."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.export import Json
from streams.exporter.csvcells import cell, guarded, plain

SIGNS = "=+-@\t\r\n＝＋－＠"
"""OWASP, CSV Injection: what may begin a formula."""

telling = st.text(st.sampled_from([*SIGNS, *",;|\"' a1"]))


@given(st.one_of(st.text(), telling))
def test_a_guarded_text_comes_back_whole(text: str) -> None:
    assert plain(guarded(text)) == text


@given(telling)
def test_no_reader_finds_a_cell_that_begins_with_a_formula(text: str) -> None:
    written = cell(text)

    for separator in ",;\t|":
        for quoted in (True, False):
            rows = csv.reader(
                io.StringIO(written, newline=""),
                delimiter=separator,
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            )
            cells = [one.lstrip('"') for row in rows for one in row]
            assert not [one for one in cells if one and one[0] in SIGNS]


@given(st.one_of(st.text(), telling))
def test_a_reader_with_our_settings_finds_one_cell(text: str) -> None:
    ((found,),) = csv.reader(io.StringIO(cell(text) + "\r\n", newline=""))

    assert plain(found) == text


@pytest.mark.parametrize("sign", list(SIGNS))
def test_every_sign_of_the_list_is_guarded_at_the_beginning(sign: str) -> None:
    assert guarded(f"{sign}1+1") == f"'{sign}1+1"


def test_text_that_begins_no_formula_stays_as_it_is() -> None:
    assert guarded("it's 3 - 2 = 1, or a+b") == "it's 3 - 2 = 1, or a+b"


def test_null_and_the_empty_text_differ() -> None:
    assert (cell(None), cell("")) == ("", '""')


def test_numbers_and_booleans_are_bare_and_other_json_is_text() -> None:
    assert [cell(Json("-1.50")), cell(True), cell(Json('{"a":"=1"}'))] == [
        "-1.50",
        "true",
        '"{""a"":""\'=1""}"',
    ]


def test_a_number_cell_can_hold_nothing_but_a_number() -> None:
    assert re.fullmatch(r'".*"', cell(Json('"=1"')))
