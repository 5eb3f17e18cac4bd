"""Which parts of a JSON value are anonymised, and that the rest is as it was."""

from __future__ import annotations

import json

import pytest

from schemas.plans import FieldAction
from sinks.anonymise import Anonymiser
from sinks.json_fields import anonymised, as_json, rectified

HOW = Anonymiser(b"a secret of at least 16 bytes")
ERASE = FieldAction("replace", "-")


def test_a_path_goes_through_objects_and_every_element_of_lists() -> None:
    value = {"a": [{"b": "x"}, {"b": "y", "c": 1}, 7], "b": "z"}

    assert anonymised(value, {"a.b": ERASE}, "acme", HOW) == {"a": [{"b": "-"}, {"b": "-", "c": 1}, 7], "b": "z"}


def test_a_field_that_is_not_there_is_not_made() -> None:
    assert anonymised({"a": 1}, {"b": ERASE, "a.b": ERASE}, "acme", HOW) == {"a": 1}


def test_whole_objects_lists_and_numbers_are_replaced() -> None:
    value = {"a": {"b": 1}, "c": [1, 2], "d": 3.5, "e": None}

    assert anonymised(value, dict.fromkeys(value, ERASE), "acme", HOW) == {
        "a": "-",
        "c": "-",
        "d": "-",
        "e": None,
    }


def test_the_given_value_is_left_alone() -> None:
    value = {"a": {"b": "x"}}

    anonymised(value, {"a.b": ERASE}, "acme", HOW)

    assert value == {"a": {"b": "x"}}


def test_half_a_surrogate_pair_is_hashed_and_written_as_it_was() -> None:
    cut = "a text cut in an emoji \ud83d"

    done = anonymised({"a": cut, "b": cut}, {"a": FieldAction("hash")}, "acme", HOW)

    assert str(done["a"]).startswith("ebh1:")
    assert json.loads(as_json(done)) == done


def test_what_json_can_say_is_written_in_utf_8() -> None:
    assert as_json({"a": "ünï", "b": 1.5}) == '{"a":"ünï","b":1.5}'.encode()


def test_a_number_that_json_has_not_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        as_json(json.loads('{"a": 1e400}'))


def test_fields_are_set_wherever_there_is_an_object_for_them() -> None:
    value = {"a": {"b": "x", "c": 1}, "d": "y"}

    assert rectified(value, {"a.b": "new", "d": None, "a.e": 7}) == {"a": {"b": "new", "c": 1, "e": 7}, "d": None}
    assert value == {"a": {"b": "x", "c": 1}, "d": "y"}


@pytest.mark.parametrize("value", [{}, {"a": None}, {"a": "text"}, {"a": [{"b": 1}]}])
def test_a_field_without_an_object_around_it_is_not_set_anywhere(value: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        rectified(value, {"a.b": "new"})
