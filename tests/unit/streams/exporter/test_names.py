"""What names promise: they say nothing about anybody, and no two pieces of work share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Refused
from streams.exporter.names import Names, file_name, record_key
from streams.exporter.work import Work
from tests.unit.streams.exporter.test_work import decoded

NAMES = Names("exports", b"k" * 32)


def work(**changes: object) -> Work:
    return Work.of(decoded(**changes))


def test_an_object_is_named_by_its_place_alone() -> None:
    name = NAMES.object(work(request_id="delete ada@example.org", org="acme", record_ids=["8"]), "csv")

    assert re.fullmatch(r"exports/[0-9a-f]{32}/messages/crm-0002-00000003\.csv\.gz", name)


def test_the_same_request_id_of_two_orgs_has_two_folders() -> None:
    assert NAMES.mark("acme", "r-1") != NAMES.mark("globex", "r-1")
    assert NAMES.mark("a", "b/c") != NAMES.mark("a/b", "c")


def test_a_folder_cannot_be_told_without_the_key() -> None:
    assert NAMES.mark("acme", "r-1") != Names("exports", b"l" * 32).mark("acme", "r-1")
    assert "kkk" not in repr(NAMES)


def test_parts_of_one_place_differ_from_all_others() -> None:
    parts = [work(partition=p, seq=s, target=t) for p in (0, 11, 1) for s in (0, 1, 11) for t in ("crm", "crm-1")]

    assert len({NAMES.part(one) + "." for one in parts}) == len(parts)
    assert len({record_key("m", one.partition, one.seq) for one in parts}) == 9


@given(st.text(), st.text())
def test_a_file_in_a_zip_is_harmless_on_every_system(one: str, other: str) -> None:
    names = [file_name(0, one), file_name(1, other)]

    assert all(re.fullmatch(r"\d{6}-[A-Za-z0-9._-]{0,100}", name) for name in names)
    assert names[0] != names[1]


@pytest.mark.parametrize("prefix", ["", "/exports", "exports/", "a//b", "..", "a b"])
def test_a_prefix_that_is_no_plain_path_is_refused(prefix: str) -> None:
    with pytest.raises(Refused):
        Names(prefix, b"k" * 32)
