"""What is promised of rows: they read back, and a row of a later version stops the program."""

from __future__ import annotations

import pytest

from streams.ledger.rows import OrgRow, PairRow, PendingHead, Segment, UnreadableRow, join, split


def test_rows_read_back() -> None:
    org = OrgRow(open=True, shards=[1, 4], clocks={"": {"deactivated": 7}})
    pair = PairRow(count=3, oldest=5, marks={"touched": 2})
    segment = Segment(2, 5, 9, True, b"body")

    assert OrgRow.unpack(org.pack()) == org
    assert PairRow.unpack(pair.pack()) == pair
    assert Segment.unpack(segment.pack()) == segment


def test_a_head_and_a_body_part_where_they_were_joined() -> None:
    head = PendingHead("o", "c", "delete", "retention", 1, 2, 3, 3, 4, False)

    raw, body = split(join(head, b"\0\xffbody"))

    assert (PendingHead.unpack(raw), body) == (head, b"\0\xffbody")


@pytest.mark.parametrize("value", [b"[2,false]", b'[1,"only one field"]'])
def test_a_row_of_another_form_stops_the_program(value: bytes) -> None:
    with pytest.raises(UnreadableRow, match="run the version that wrote it"):
        OrgRow.unpack(value)


def test_a_segment_of_another_version_stops_the_program() -> None:
    raw = Segment(1, 1, 1, False, b"").pack()

    with pytest.raises(UnreadableRow):
        Segment.unpack(b"\x09" + raw[1:])
