from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ops.bench.digest import Digest, digest

_word = st.binary(min_size=1, max_size=8).filter(lambda b: b"\0" not in b)
_rows = st.lists(st.tuples(_word, _word, _word), max_size=20, unique=True)


@given(_rows, st.randoms(use_true_random=False))
def test_the_order_of_erasures_does_not_change_the_digest(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)

    assert digest(shuffled) == digest(rows)


@given(_rows, _rows)
def test_the_digest_of_two_parts_is_the_sum_of_their_digests(first, second):
    assert digest(first) + digest(second) == digest([*first, *second])


@given(_rows.filter(bool))
def test_a_record_erased_twice_a_missing_one_and_another_in_its_place_all_show(rows):
    org, category, record_id = rows[0]
    right = digest(rows)

    assert digest([*rows, rows[0]]) != right
    assert digest(rows[1:]) != right
    assert digest([(org, category, record_id + b"x"), *rows[1:]]) != right
    assert digest([*rows[1:], rows[0], rows[0], rows[0]]) != right


def test_a_record_moved_across_the_border_of_its_names_is_another_record():
    assert digest([(b"ab", b"c", b"1")]) != digest([(b"a", b"bc", b"1")])


def test_nothing_erased_is_the_empty_digest():
    assert digest([]) == Digest()
