from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ops.bench.plot import HEIGHT, WIDTH, short, svg

_SVG = "{http://www.w3.org/2000/svg}"


def test_every_point_lies_in_the_picture_and_carries_its_value():
    lines = {"ms & more": [(1e6, 40.0), (1e7, 44.0), (1e8, 61.5)], "MiB": [(1e6, 3.0), (1e8, 5.0)]}

    drawn = ET.fromstring(svg(lines, title="Kept < due", x="records"))

    circles = drawn.findall(f"{_SVG}circle")
    texts = [text.text for text in drawn.findall(f"{_SVG}text")]
    assert len(circles) == 5
    assert all(0 < float(c.get("cx", "")) < WIDTH and 0 < float(c.get("cy", "")) < HEIGHT for c in circles)
    assert {"40", "44", "61.5", "3", "5", "Kept < due", "ms & more", "100 M"} <= set(texts)


def test_ten_times_more_is_as_far_whatever_the_numbers_are():
    drawn = ET.fromstring(svg({"a": [(1, 1), (10, 10), (100, 100)]}, title="", x=""))
    xs = [float(c.get("cx", "")) for c in drawn.findall(f"{_SVG}circle")]

    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)


@pytest.mark.parametrize("lines", [{}, {"a": []}, {"a": [(0.0, 1.0)]}, {"a": [(1.0, -1.0)]}])
def test_what_no_logarithm_has_is_refused(lines):
    with pytest.raises(ValueError, match="above zero"):
        svg(lines, title="", x="")


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5"), (999, "999"), (2_300, "2.3 k"), (1e8, "100 M"), (2e9, "2 G")]
)
def test_numbers_are_short(value, text):
    assert short(value) == text
