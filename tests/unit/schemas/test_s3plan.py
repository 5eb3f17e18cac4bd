"""A key is of one record at most, nothing below a prefix is another's, and no id leads out of its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.plans import BadPlan
from schemas.s3plan import (
    MAX_KEY_BYTES,
    MAX_REPLACEMENT_BYTES,
    ObjectTemplate,
    Replacement,
    check_bucket,
    check_endpoint,
    check_metadata,
)

TEMPLATES = [
    "{org}/media/{id}",
    "{org}/media/{id}/",
    "m/{id}/{org}",
    "m/{id}/{org}/",
    "{org}.{id}/x/",
    "{org}-{id}.png",
]

# Few letters, so that names often begin with, end with or contain each other and the template's own text.
tricky = st.text(alphabet="a/.-mx", min_size=1, max_size=8) | st.sampled_from(
    ["acme", "acme-2", "acme/x", "acme/media", "media", "..", ".", "/", "a/media/b", "1/", "a+b c", "ü", "x.png"]
)


@settings(deadline=None)
@given(template=st.sampled_from(TEMPLATES), one=st.tuples(tricky, tricky), two=st.tuples(tricky, tricky))
def test_no_two_records_share_a_key_and_no_prefix_holds_anothers(
    template: str, one: tuple[str, str], two: tuple[str, str]
) -> None:
    made = ObjectTemplate(template)
    here, there = made.of(*one), made.of(*two)

    if here is not None and there is not None and one != two:
        assert here != there
        assert not made.whole or not there.startswith(here)


@settings(deadline=None)
@given(template=st.sampled_from(TEMPLATES), one=st.tuples(tricky, tricky), below=tricky)
def test_what_lies_below_a_prefix_is_read_back_as_its_record(template: str, one: tuple[str, str], below: str) -> None:
    made = ObjectTemplate(template)
    place = made.of(*one)

    if place is not None:
        assert made.parse(place + (below if made.whole else "")) == one
        assert place.startswith(made.start)
        assert place.startswith(made.under(one[0]))
        assert not {"", ".", ".."} & set(place.removesuffix("/").split("/"))


@pytest.mark.parametrize(
    ("template", "org", "record_id", "place"),
    [
        ("{org}/media/{id}", "acme", "1", "acme/media/1"),
        ("{org}/media/{id}", "acme", "2026/05/a.jpg", "acme/media/2026/05/a.jpg"),
        ("{org}/media/{id}", "acme", "a b+c%2F&<ü€", "acme/media/a b+c%2F&<ü€"),
        ("{org}/media/{id}", "acme-2", "1", "acme-2/media/1"),
        ("{org}/media/{id}/", "acme", "1", "acme/media/1/"),
        ("media/{id}.{org}.png", "acme", "1", "media/1.acme.png"),
    ],
)
def test_a_place_is_made_as_the_template_says(template: str, org: str, record_id: str, place: str) -> None:
    assert ObjectTemplate(template).of(org, record_id) == place


@pytest.mark.parametrize(
    "record_id",
    ["", ".", "..", "../x", "a/../../b", "/", "/a", "a/", "a//b", "./a", "a\0b", "a\nb", "a\x7f", "\ud800", "\uffff"],
)
@pytest.mark.parametrize("template", ["{org}/media/{id}", "{org}/media/{id}/", "{org}/{id}"])
def test_an_id_that_would_lead_elsewhere_or_cannot_be_sent_has_no_place(template: str, record_id: str) -> None:
    assert ObjectTemplate(template).of("acme", record_id) is None


@pytest.mark.parametrize("org", ["", "..", ".", "acme/x", "acme/media/1", "/acme"])
def test_an_org_is_one_segment_of_its_keys(org: str) -> None:
    assert ObjectTemplate("{org}/media/{id}").of(org, "1") is None


def test_an_id_that_would_be_part_of_another_records_prefix_has_no_place() -> None:
    made = ObjectTemplate("{org}/media/{id}/")

    assert made.of("acme", "1/2") is None
    assert made.parse("acme/media/1/2") == ("acme", "1")


def test_a_key_that_no_s3_can_hold_is_not_made() -> None:
    made = ObjectTemplate("{org}/media/{id}")

    assert made.of("a", "x" * (MAX_KEY_BYTES - len("a/media/"))) is not None
    assert made.of("a", "x" * (MAX_KEY_BYTES - len("a/media/") + 1)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{org}",
        "{org}{id}",
        "{org}/{id}/{id}",
        "{org}/{id}/{x}",
        "/{org}/{id}",
        "{org}//{id}",
        "../{org}/{id}",
        "{org}/./{id}",
        "{org}/media/{id}//",
        "{org}\n/{id}",
        "x" * 600 + "/{org}/{id}",
    ],
)
def test_a_template_that_leaves_the_place_open_cannot_be_made(text: str) -> None:
    with pytest.raises(BadPlan, match=r"template"):
        ObjectTemplate(text)


@pytest.mark.parametrize("address", ["https://s3.example.org", "http://127.0.0.1:9000", "http://[::1]:9000/"])
def test_an_endpoint_is_an_address_and_no_more(address: str) -> None:
    assert check_endpoint(address) == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    ["", "s3.example.org", "ftp://x", "http://", "http://u:hush@x", "http://x/bucket", "http://x?y", "http://x:port"],
)
def test_what_is_no_endpoint_is_refused_unseen(address: str) -> None:
    with pytest.raises(BadPlan, match="write `https://host`") as refused:
        check_endpoint(address)

    assert "hush" not in str(refused.value)


def test_names_that_s3_does_not_have_are_refused() -> None:
    for name in ("ab", "Media", "a_b", "a..b", "-ab", "x" * 64):
        with pytest.raises(BadPlan, match="bucket's name"):
            check_bucket(name)
    for name in ("", "User", "x-amz-meta-user", "a b"):
        with pytest.raises(BadPlan, match="user metadata"):
            check_metadata(name)


def test_a_replacement_is_small_and_does_not_show() -> None:
    assert "hush" not in repr(Replacement(b"hush", "text/plain"))
    with pytest.raises(BadPlan, match="at most"):
        Replacement(b"x" * (MAX_REPLACEMENT_BYTES + 1), "text/plain")
