"""Keys made of org and id: exactly those that read back as the same org and id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.plans import KeyTemplate
from sinks.kafka_values import key_of, keys_of

PART = st.text(alphabet="ab/-: é", max_size=6)


@pytest.mark.parametrize("text", ["{org}/{id}", "{id}/{org}", "x:{org}--{id}", "{id}--{org}:end", "a{org}aa{id}a"])
@given(org=PART, ids=st.lists(PART, max_size=8))
def test_a_key_is_made_where_it_reads_back_as_the_same_record(text: str, org: str, ids: list[str]) -> None:
    template = KeyTemplate(text)
    written = [text.replace("{org}", "\0").replace("{id}", one).replace("\0", org).encode() for one in ids]

    keys = keys_of(template, org, ids)

    assert keys == [key if template.parse(key) == (org, one) else None for key, one in zip(written, ids, strict=True)]
    assert keys == [key_of(template, org, one) for one in ids]
